"""The kit: the same bytes for the same inputs, whole for every CPython, and two sets of packages that stay apart."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from builder import kit as kit_module
from builder.kit import CPYTHONS, UV, Archive, Kit, KitError
from builder.kit.build import build, own_cpython
from builder.kit.wheels import LEFT_OUT, without_left_out
from localcloud.machine import images

from .world import World


def names(archive: Archive) -> dict[str, int]:
    """The modes of an archive's files, by name."""
    with tarfile.open(archive.path) as tar:
        members = tar.getmembers()
    assert all(m.isreg() and m.mtime == 0 and m.uid == 0 for m in members)
    found = {member.name: member.mode for member in members}
    assert len(found) == len(members)
    return found


def kernel_zip(archive: Archive) -> zipfile.ZipFile:
    with tarfile.open(archive.path) as tar:
        file = tar.extractfile("kernel.zip")
        assert file is not None
        return zipfile.ZipFile(io.BytesIO(file.read()))


def check_layout(archive: Archive, *, compiled: bool) -> None:
    modes = names(archive)
    assert set(modes.values()) == {0o644}
    assert {name.partition("/")[0] for name in modes} == {"kernel", "kernel.zip", "runner", "runner-site"}
    for left_out in LEFT_OUT:
        assert not any(f"/{left_out.replace('-', '_')}/" in name for name in modes)
    assert not any("/tests/" in name or name.endswith((".pyi", ".exe")) for name in modes)
    parts = [name.split("/") for name in modes]
    kernel = {part[1] for part in parts if part[0] == "kernel"}
    runner = {part[1] for part in parts if part[0] == "runner-site"}
    assert {"ipykernel", "IPython", "zmq"} <= kernel
    assert {"papermill", "nbconvert", "nh3", "google"} <= runner
    assert not {"papermill", "nbconvert", "google", "requests", "yaml", UV} & kernel
    assert UV not in runner
    assert "runner/__main__.py" in modes
    tag = f"cpython-{archive.name[2:]}"
    bytecode = [name for name in modes if name.endswith(".pyc")]
    assert all(f".{tag}." in name or name.startswith("runner-site/") for name in bytecode)
    assert ("runner-site/papermill/execute.pyc" in modes) is compiled
    assert ("runner-site/papermill/execute.py" in modes) is not compiled
    assert {"kernel/ipykernel/kernelbase.py", "runner/app.py"} <= modes.keys()
    zipped = set(kernel_zip(archive).namelist())
    assert {"pygments/__init__.py", "prompt_toolkit/__init__.py"} <= zipped
    assert ("pygments/lexer.pyc" in zipped) is compiled
    # A library cannot be loaded from there, and data is read by its path.
    assert {PurePosixPath(name).suffix for name in zipped if ".dist-info/" not in name} <= {
        ".py",
        ".pyc",
        "",
        ".typed",
    }
    assert (f"kernel/ipykernel/__pycache__/kernelbase.{tag}.pyc" in modes) is compiled
    other = {f"cpython-{cpython[2:]}-" for cpython in CPYTHONS} - {f"{tag}-"}
    assert not any(part in name for name in modes for part in other)
    # A quarter of a minute is enough to fetch it over a slow line, at every boot.
    assert archive.size < 30_000_000


def test_layout(kit: Kit) -> None:
    own = own_cpython()
    check_layout(kit.archives[own], compiled=True)
    assert names(kit.archives[UV]) == {"uv": 0o755, "LICENSE-APACHE": 0o644, "LICENSE-MIT": 0o644}
    assert set(kit.archives) == {own, UV}


@pytest.mark.exhaustive
@pytest.mark.parametrize("cpython", CPYTHONS)
def test_a_kit_for_another_cpython_has_no_bytecode_where_its_interpreter_is_missing(
    cpython: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cpython == own_cpython():
        cpython = next(other for other in CPYTHONS if other != cpython)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "wheels").symlink_to(kit_module.ROOT / "build" / "kit" / "wheels")
    made = build(tmp_path, [cpython])
    assert set(made.archives) == {cpython}
    check_layout(made.archives[cpython], compiled=False)


@pytest.mark.exhaustive
def test_same_inputs_same_bytes(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "wheels").symlink_to(kit_module.ROOT / "build" / "kit" / "wheels")
    again = build(tmp_path, [own_cpython(), UV])
    assert {name: archive.sha256 for name, archive in again.archives.items()} == {
        name: archive.sha256 for name, archive in kit.archives.items()
    }
    assert again.sha256 == kit.sha256


def made(folder: Path, **archives: bytes) -> Kit:
    folder.mkdir(exist_ok=True)
    for name, content in archives.items():
        (folder / f"{name}.tar.gz").write_bytes(content)
    return kit_module.write_index(folder)


def test_the_kits_identity_is_the_hash_of_its_index(tmp_path: Path) -> None:
    kit = made(tmp_path / "a", cp311=b"one", uv=b"two")
    index = (tmp_path / "a" / "kit.json").read_bytes()
    assert kit.sha256 == hashlib.sha256(index).hexdigest()
    assert json.loads(index)["archives"]["uv"] == {"sha256": hashlib.sha256(b"two").hexdigest(), "size": 3}
    assert kit.archives["cp311"] == Archive(
        "cp311", tmp_path / "a" / "cp311.tar.gz", hashlib.sha256(b"one").hexdigest(), 3
    )
    assert made(tmp_path / "b", uv=b"two", cp311=b"one").sha256 == kit.sha256
    others = [made(tmp_path / "c", cp311=b"one"), made(tmp_path / "d", cp312=b"one", uv=b"two")]
    assert len({kit.sha256, *(other.sha256 for other in others)}) == 3


def test_a_missing_kit_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KitError, match=r"kit.json is missing\): run `make venv`"):
        kit_module.load(tmp_path)
    made(tmp_path, cp311=b"one", uv=b"two")
    (tmp_path / "uv.tar.gz").write_bytes(b"tw")
    with pytest.raises(KitError, match=r"uv.tar.gz differs from its index\): run `make venv`"):
        kit_module.load(tmp_path)
    (tmp_path / "uv.tar.gz").unlink()
    with pytest.raises(KitError, match=r"uv.tar.gz is missing\): run `make venv`"):
        kit_module.load(tmp_path)


def test_only_the_kits_that_were_asked_for_stay(tmp_path: Path) -> None:
    made(tmp_path, cp311=b"of older code", uv=b"two")
    with pytest.raises(KitError, match="holds no archive"):
        build(tmp_path, [])
    assert not list(tmp_path.glob("*.tar.gz"))
    with pytest.raises(KitError, match="there is no kit for cp310, only for cp311, cp312, cp313, and uv"):
        build(tmp_path, ["cp310"])


def test_left_out_requirements_are_not_fetched() -> None:
    lock = "# comment\na==1 \\\n    --hash=sha256:0\n    # via b\ndebugpy==1.8 \\\n    --hash=sha256:1\nzope.x==2 \\\n    --hash=sha256:2\n"
    assert without_left_out(lock) == (
        "# comment\na==1 \\\n    --hash=sha256:0\n    # via b\nzope.x==2 \\\n    --hash=sha256:2\n"
    )


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


@pytest.mark.parametrize(
    ("code", "why"),
    [
        pytest.param(
            "version = 'ancient'",
            "ModuleNotFoundError: No module named 'tornado.ioloop'",
            id="lacks a module",
        ),
        pytest.param(
            "class Options(metaclass=type, extra_items=int): pass",
            "TypeError: Options.__init_subclass__() takes no keyword arguments",
            id="refuses an argument",
        ),
    ],
)
def test_an_image_whose_packages_break_the_kernel_gets_the_kits_first(
    world: World, tmp_path: Path, code: str, why: str
) -> None:
    site = tmp_path / "site"
    (site / "tornado").mkdir(parents=True)
    (site / "tornado" / "__init__.py").write_text(f"{code}\n")
    outcome = world.run("import tornado\nprint(tornado.version)", prefix=images.prefix_with(site))
    assert outcome.evidence["papermill"]["exit_code"] == 0, outcome.log
    assert f"| the image's packages do not fit the kernel ({why}" in outcome.log
    assert outcome.text(0) != "ancient\n"


def test_a_bare_image_has_nothing_of_the_runner_in_its_kernel(world: World) -> None:
    outcome = world.run("import papermill")
    assert outcome.evidence["papermill"]["exit_code"] == 1
    assert "ModuleNotFoundError: No module named 'papermill'" in outcome.log
