"""Fallback to another shape while one is out of capacity."""

import pytest

from tune_jobs.backends.oci_runs.shapes import CAPACITY_COOLDOWN, Shapes, check_shapes
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


@pytest.mark.parametrize(
    "wrong", [{"ocpus": 1}, {"shape": "X", "cpus": 1}, {"shape": "X", "ocpus": 1}]
)
def test_invalid_fallback_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="shape"):
        check_shapes([wrong])
