"""Fallback to another shape while one is out of capacity."""

import pytest

from tune_jobs.backends.oci_runs.shapes import (
    CAPACITY_COOLDOWN,
    Shapes,
    check_resources,
    check_shapes,
)
from tune_jobs.errors import ConfigError

OWN = {
    "jobInfrastructureType": "STANDALONE",
    "shapeName": "VM.Standard.E4.Flex",
    "subnetId": "ocid1.subnet.oc1..s",
    "blockStorageSizeInGBs": 50,
    "jobShapeConfigDetails": {"ocpus": 1, "memoryInGBs": 16},
}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_own_shape_needs_no_override() -> None:
    assert Shapes(OWN, ["VM.Standard2.1"], Clock()).choose() == ("VM.Standard.E4.Flex", None)


def test_shape_out_of_capacity_is_skipped_for_a_while() -> None:
    clock = Clock()
    shapes = Shapes(
        OWN, [{"shape": "VM.Standard3.Flex", "ocpus": 2, "memory_gb": 32}, "VM.Standard2.1"], clock
    )
    assert shapes.mark_out_of_capacity("VM.Standard.E4.Flex")
    name, override = shapes.choose()
    assert name == "VM.Standard3.Flex"
    assert override is not None
    assert override["jobShapeConfigDetails"] == {"ocpus": 2, "memoryInGBs": 32}
    assert override["subnetId"] == OWN["subnetId"]
    assert shapes.mark_out_of_capacity("VM.Standard3.Flex")
    name, override = shapes.choose()
    assert name == "VM.Standard2.1"
    assert override is not None
    assert "jobShapeConfigDetails" not in override
    assert not shapes.mark_out_of_capacity("VM.Standard2.1")
    assert shapes.choose() == ("VM.Standard.E4.Flex", None)
    clock.now += CAPACITY_COOLDOWN
    assert shapes.choose() == ("VM.Standard.E4.Flex", None)


def test_without_fallback_no_shape_is_available() -> None:
    shapes = Shapes(OWN, [], Clock())
    assert not shapes.mark_out_of_capacity("VM.Standard.E4.Flex")
    assert shapes.choose() == ("VM.Standard.E4.Flex", None)


def test_flexible_shape_without_a_size_has_the_jobs_own() -> None:
    shapes = Shapes(OWN, ["VM.Standard3.Flex"], Clock())
    for chosen in (
        shapes.choose_other(["VM.Standard.E4.Flex"]),
        shapes.resolve({"shape": "X.Flex"}),
    ):
        assert chosen is not None
        assert chosen[1] is not None
        assert chosen[1]["jobShapeConfigDetails"] == OWN["jobShapeConfigDetails"]
    fixed = {**OWN, "shapeName": "VM.Standard2.1"}
    del fixed["jobShapeConfigDetails"]
    with pytest.raises(ConfigError, match=r"VM\.Standard3\.Flex is flexible: add its size"):
        Shapes(fixed, ["VM.Standard3.Flex"], Clock())


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ({"shpe": "VM.GPU.A10.1"}, "unknown name 'shpe' .did you mean 'shape'"),
        ({"gpus": 1}, "unknown name 'gpus'"),
        ({"shape": ""}, "the name of a shape"),
        ({"ocpus": "2", "memory_gb": 16}, "ocpus is '2', and has to be a positive number"),
        ({"ocpus": 2}, "both ocpus and memory_gb"),
        ({"max_runtime": True}, "max_runtime is True"),
        ({"max_runtime": 0}, "max_runtime is 0"),
        ({"max_runtime": 1.5}, "max_runtime is 1.5"),
        ({"shape": " "}, "the name of a shape"),
        ({"shape": ["X"]}, "the name of a shape"),
        ({"ocpus": float("inf"), "memory_gb": 16}, "ocpus is inf"),
        ({"ocpus": 1, "memory_gb": float("nan")}, "memory_gb is nan"),
        ({"shape": "VM.GPU.A10.1", "ocpus": 1, "memory_gb": 16}, "is not flexible: leave out"),
        ({5: 1}, "unknown name 5"),
    ],
)
def test_resources_that_cannot_be_used_are_refused(
    resources: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        check_resources(resources)
    check_resources({"shape": "X.Flex", "ocpus": 1.5, "memory_gb": 16, "max_runtime": 60})


@pytest.mark.parametrize(
    "wrong",
    [
        {"ocpus": 1},
        {"shape": "X", "cpus": 1},
        {"shape": "X", "ocpus": 1},
        {"shape": "X.Flex", "ocpus": -1, "memory_gb": 16},
        {"shape": "X.Flex", "ocpus": "1", "memory_gb": 16},
        {"shape": "X", "ocpus": 1, "memory_gb": 16},
        {"shape": None},
        "",
        5,
    ],
)
def test_invalid_fallback_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="shape"):
        check_shapes([wrong])  # type: ignore[list-item]
