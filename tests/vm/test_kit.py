"""The kit: the same bytes for the same inputs, whole for every CPython, and two sets of packages that stay apart."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath

import pytest

from builder import kit as kit_module
from builder.kit import Kit, KitError
from localcloud.machine import images

from .world import World


def names(kit: Kit) -> list[str]:
    with tarfile.open(kit.path) as archive:
        members = archive.getmembers()
    assert all(m.isreg() and m.mtime == 0 and m.uid == 0 and m.mode == 0o644 for m in members)
    return [member.name for member in members]


@pytest.mark.slow
def test_layout(kit: Kit) -> None:
    found = names(kit)
    assert len(found) == len(set(found))
    trees = {
        PurePosixPath(*PurePosixPath(n).parts[:2]).as_posix()
        for n in found
        if not n.startswith(("runner/", "uv/"))
    }
    parts = ("common", "cp311", "cp312", "cp313")
    assert trees == {f"{tree}/{part}" for tree in ("kernel", "runner-site") for part in parts}
    for left_out in kit_module.LEFT_OUT:
        assert not any(f"/{left_out.replace('-', '_')}/" in name for name in found)
    assert not any("/tests/" in name or name.endswith((".pyi", ".exe")) for name in found)
    kernel = {PurePosixPath(n).parts[2] for n in found if n.startswith("kernel/")}
    runner = {PurePosixPath(n).parts[2] for n in found if n.startswith("runner-site/")}
    assert {"ipykernel", "IPython", "zmq"} <= kernel
    assert {"papermill", "nbconvert", "nh3", "google"} <= runner
    assert not {"papermill", "nbconvert", "google", "requests", "yaml"} & kernel
    assert "runner/__main__.py" in found
    assert {name for name in found if name.startswith("uv/")} == {
        "uv/uv.xz",
        "uv/LICENSE-APACHE",
        "uv/LICENSE-MIT",
    }
    # Half a minute is enough to fetch it over a slow line, at every boot.
    assert kit.size < 50_000_000


@pytest.mark.slow
def test_same_inputs_same_bytes(kit: Kit) -> None:
    again = kit.path.with_name("again.tar.gz")
    try:
        assert kit_module.build(again).sha256 == kit.sha256
    finally:
        again.unlink(missing_ok=True)


def test_a_missing_kit_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kit_module, "ROOT", tmp_path)
    with pytest.raises(KitError, match="make venv"):
        kit_module.locate()


def test_left_out_requirements_are_not_fetched() -> None:
    lock = "# comment\na==1 \\\n    --hash=sha256:0\n    # via b\ndebugpy==1.8 \\\n    --hash=sha256:1\nzope.x==2 \\\n    --hash=sha256:2\n"
    assert kit_module._without_left_out(lock) == (
        "# comment\na==1 \\\n    --hash=sha256:0\n    # via b\nzope.x==2 \\\n    --hash=sha256:2\n"
    )


@pytest.mark.slow
def test_the_images_packages_win_in_the_kernel_and_the_kits_in_the_runner(
    world: World, tmp_path: Path
) -> None:
    """An image with its own, older traitlets-like packages: one that both kernel and runner use, one of papermill's."""
    site = tmp_path / "site"
    for name, version in {"wcwidth": "0.0.1", "papermill": "0.0.1", "yaml": "0.0.1"}.items():
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(f"__version__ = {version!r}\nwcswidth = wcwidth = len\n")
    outcome = world.run(
        "import wcwidth, papermill, yaml\nprint(wcwidth.__version__, papermill.__version__, yaml.__version__)",
        "import sys\nprint([m for m in ('nbconvert', 'google.cloud.storage', 'nh3') if __import__('importlib.util').util.find_spec(m.split('.')[0])])",
        "print(sys.path[0] == '', 'runner' in ' '.join(sys.path), sys.path[-1].rpartition('/')[2])",
        prefix=images.prefix_with(site),
    )
    assert outcome.evidence["papermill"]["exit_code"] == 0, outcome.log
    assert outcome.text(0) == "0.0.1 0.0.1 0.0.1\n"
    assert outcome.text(1) == "[]\n"
    assert outcome.executed.metadata.papermill.version == "2.7.0"


@pytest.mark.slow
def test_an_image_whose_packages_break_the_kernel_gets_the_kits_first(world: World, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "tornado").mkdir(parents=True)
    (site / "tornado" / "__init__.py").write_text("version = 'ancient'\n")
    outcome = world.run("import tornado\nprint(tornado.version)", prefix=images.prefix_with(site))
    assert outcome.evidence["papermill"]["exit_code"] == 0, outcome.log
    assert "| the image's packages do not fit the kernel" in outcome.log
    assert outcome.text(0) != "ancient\n"


@pytest.mark.slow
def test_a_bare_image_has_nothing_of_the_runner_in_its_kernel(world: World) -> None:
    outcome = world.run("import papermill")
    assert outcome.evidence["papermill"]["exit_code"] == 1
    assert "ModuleNotFoundError: No module named 'papermill'" in outcome.log
