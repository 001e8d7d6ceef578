"""Where a step's directories are mounted, and what of this machine must be brought back."""

from pathlib import Path

import pytest

from localcloud.cloudbuild.process.layout import layout

OWN = [(Path("/b/w"), "/workspace"), (Path("/b/t"), "/tmp"), (Path("/b/o"), "/builder/outputs")]


def test_outer_directories_come_first() -> None:
    own = [(Path("/b/v"), "/workspace/deep/er"), *OWN]
    assert [path for _, path in layout(own, []).mounts] == [
        "/workspace",
        "/tmp",
        "/builder/outputs",
        "/workspace/deep/er",
    ]


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
def test_what_would_be_hidden_is_kept(keep: str, kept: list[str]) -> None:
    view = layout(OWN, [keep, keep])
    assert [path for _, path in view.kept] == kept
    assert view.conflict is None


def test_volume_above_what_is_needed_hides_it_and_one_below_does_not() -> None:
    assert layout([(Path("/b/v"), "/opt")], ["/opt/python"]).kept == (("/opt/python", "/opt/python"),)
    assert layout([(Path("/b/v"), "/opt/python/cache")], ["/opt/python"]).kept == ()


@pytest.mark.parametrize("keep", ["/workspace", "/builder", "/tmp"])
def test_needed_folder_in_the_place_of_the_steps_own_is_a_conflict(keep: str) -> None:
    said = f"{keep} of this machine is needed and is also a path of the step"
    assert layout(OWN, [keep]).conflict == said


def test_path_of_a_volume_is_taken_as_the_links_of_this_machine_lead(tmp_path: Path) -> None:
    link = Path("/proc/self/cwd")  # the one link that every machine has
    assert layout([(Path("/b/v"), f"{link}/keys")], []).mounts == (("/b/v", f"{Path.cwd()}/keys"),)
    assert layout([(Path("/b/v"), "/workspace/../workspace/x/")], []).mounts == (("/b/v", "/workspace/x"),)
