"""The directories of this machine that stay visible in a step."""

import pytest

from localcloud.engines.build_process.layout import layout

OWN = ["/workspace", "/tmp", "/builder/outputs"]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        pytest.param("/usr", [], id="/usr"),
        pytest.param("/tmpfiles", [], id="/tmpfiles"),
        pytest.param("/tmp/checkout", ["/tmp/checkout"], id="/tmp/checkout"),
        pytest.param("/workspace/checkout", ["/workspace/checkout"], id="/workspace/checkout"),
        pytest.param("/builder/python", ["/builder/python"], id="/builder/python"),
    ],
)
def test_needed_folders_that_would_be_hidden_are_kept(keep: str, kept: list[str]) -> None:
    view = layout(OWN, [keep, keep])
    assert [path for _, path in view.kept] == kept
    assert view.conflict is None


@pytest.mark.parametrize("keep", ["/workspace", "/builder", "/tmp"])
def test_needed_folder_in_the_place_of_the_steps_own_is_a_conflict(keep: str) -> None:
    assert layout(OWN, [keep]).conflict == f"{keep} of this machine is needed and is also a path of the step"
