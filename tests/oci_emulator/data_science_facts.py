"""What Data Science shows that is the same in every tenancy: project, session, shapes."""

from __future__ import annotations

from typing import Any

from tests.oci_emulator.object_storage import rfc3339
from tests.oci_emulator.world import World


def describe_shapes(world: World) -> list[dict[str, Any]]:
    """Return the shapes for jobs."""
    return [
        {
            "name": name,
            "coreCount": 64 if name.endswith("Flex") else 1,
            "memoryInGBs": 1024 if name.endswith("Flex") else 15,
            "shapeSeries": "NVIDIA_GPU" if "GPU" in name else "INTEL_SKYLAKE",
        }
        for name in world.limits.shapes
    ]


def describe_project(world: World) -> dict[str, Any]:
    """Return the project."""
    return {**_describe(world), "id": world.project, "displayName": "project"}


def describe_session(world: World, id: str) -> dict[str, Any]:
    """Return a notebook session."""
    return {
        **_describe(world),
        "id": id,
        "displayName": "notebook",
        "projectId": world.project,
        "notebookSessionConfigDetails": {
            "shape": "VM.Standard.E3.Flex",
            "blockStorageSizeInGBs": 120,
            "subnetId": "ocid1.subnet.oc1..notebook",
            "notebookSessionShapeConfigDetails": {"ocpus": 3.0, "memoryInGBs": 24.0},
        },
    }


def _describe(world: World) -> dict[str, Any]:
    return {
        "timeCreated": rfc3339(world.clock()),
        "createdBy": world.user,
        "compartmentId": world.compartment,
        "lifecycleState": "ACTIVE",
    }
