"""The kit: the same bytes for the same inputs, whole for every CPython, and two sets of packages that stay apart."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from builder import kit as kit_module
from builder.kit import CPYTHONS, UV, Archive, Kit, KitError
from builder.kit.build import build, own_cpython, write_index
from builder.kit.wheels import LEFT_OUT, without_left_out
from builder.vm.bootstrap import unpack_kit
from localcloud.engines.vm import images
from tests.machine_image import prefix_with

from .vm_fixture import VmFixture


def names(archive: Archive) -> dict[str, int]:
    """The modes of an archive's files, by name."""
    with tarfile.open(archive.path) as tar:
        members = tar.getmembers()
    assert all(m.isreg() and m.mtime == 0 and m.uid == 0 for m in members)
    found = {member.name: member.mode for member in members}
    assert len(found) == len(members)
    return found


def zipped(archive: Archive, name: str) -> set[str]:
    """The files of a zip file in an archive."""
    with tarfile.open(archive.path) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return {
            name for name in zipfile.ZipFile(io.BytesIO(file.read())).namelist() if not name.endswith("/")
        }


def tops(names: Iterable[str]) -> set[str]:
    """The first parts of some paths."""
    return {name.partition("/")[0] for name in names}


def kernel_index(kit: Kit) -> dict[str, Any]:
    """Return the kit's index of the packages in its kernel tree."""
    with tarfile.open(kit.archives[own_cpython()].path) as tar:
        file = tar.extractfile("kernel.json")
        assert file is not None
        found: dict[str, Any] = json.loads(file.read())
    return found


def check_layout(archive: Archive, *, compiled: bool) -> None:
    modes = names(archive)
    assert set(modes.values()) == {0o644}
    assert tops(modes) == {
        "builder",
        "kernel",
        "kernel.json",
        "kernel.zip",
        "runner-site",
        "runner-site.zip",
    }
    kernel_zip, runner_zip = zipped(archive, "kernel.zip"), zipped(archive, "runner-site.zip")
    everything = [*modes, *(f"/{name}" for name in kernel_zip | runner_zip)]
    assert not any("/tests/" in name or name.endswith((".pyi", ".exe", ".typed")) for name in everything)
    kernel = tops(name.removeprefix("kernel/") for name in modes if name.startswith("kernel/"))
    runner = tops(name.removeprefix("runner-site/") for name in modes if name.startswith("runner-site/"))
    # A library cannot be loaded from a zip file, and most data is read by its path.
    assert {"IPython", "nbformat", "psutil", "zmq"} <= kernel
    assert {"certifi", "google", "nh3", "yaml"} <= runner
    assert {"ipykernel", "jupyter_client", "prompt_toolkit", "pygments"} <= tops(kernel_zip)
    assert {"google", "nbconvert", "papermill", "requests"} <= tops(runner_zip)
    assert not {"papermill", "nbconvert", "google", "requests", "yaml", UV} & (kernel | tops(kernel_zip))
    left_out = {UV, *(name.replace("-", "_") for name in LEFT_OUT)}
    assert not left_out & (kernel | runner | tops(kernel_zip) | tops(runner_zip))
    assert not any(name.endswith(".so") for name in kernel_zip | runner_zip)
    assert not any(name.startswith("IPython/") for name in kernel_zip)  # it reads its themes by their path
    tag = f"cpython-{archive.name[2:]}"
    bytecode = [name for name in modes if name.endswith(".pyc")]
    assert all(f".{tag}." in name or name.startswith("runner-site/") for name in bytecode)
    for code, where in (("papermill/execute", runner_zip), ("runner-site/certifi/core", modes)):
        assert (f"{code}.pyc" in where) is compiled
        assert (f"{code}.py" in where) is not compiled
    # A notebook's traceback can lead to the kernel's source.
    assert {"kernel/IPython/core/ultratb.py", "builder/vm/runner/app.py"} <= modes.keys()
    assert "ipykernel/kernelbase.py" in kernel_zip
    assert ("ipykernel/kernelbase.pyc" in kernel_zip) is compiled
    assert (f"kernel/IPython/core/__pycache__/ultratb.{tag}.pyc" in modes) is compiled
    other = {f"cpython-{cpython[2:]}-" for cpython in CPYTHONS} - {f"{tag}-"}
    assert not any(part in name for name in modes for part in other)
    # Each file costs time at every boot, and so does each byte that arrives over a slow line.
    assert len(modes) < 1200
    assert archive.size < 22_000_000


def test_layout(kit: Kit) -> None:
    own = own_cpython()
    check_layout(kit.archives[own], compiled=True)
    assert names(kit.archives[UV]) == {"uv": 0o755, "LICENSE-APACHE": 0o644, "LICENSE-MIT": 0o644}
    assert {own, UV} <= set(kit.archives)


@pytest.fixture(scope="module")
def unpacked(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kit of this CPython, as a VM unpacks it."""
    folder = tmp_path_factory.mktemp("unpacked") / "kit"
    unpack_kit(kit.archives[own_cpython()].path, folder)
    return folder


@pytest.mark.parametrize(
    ("arguments", "needed", "late"),
    [
        pytest.param(["papermill", "0", "1"], "papermill.execute", ["requests.sessions"], id="papermill"),
        pytest.param(["html"], "nbconvert.filters.markdown_mistune", ["bs4.element"], id="pages"),
        pytest.param(
            ["run", "settings.json"], "google.cloud.storage.client", ["google.auth.crypt.base"], id="runner"
        ),
    ],
)
def test_the_runners_processes_load_what_most_runs_need_and_no_more(
    unpacked: Path, tmp_path: Path, arguments: list[str], needed: str, late: list[str]
) -> None:
    """Each process ends early: its request is empty, or its settings are. A trivial notebook takes 2 CPU seconds."""
    (tmp_path / "settings.json").write_text("{}")
    code = "import json, runpy, sys\ntry:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
    code += "except SystemExit:\n    print(json.dumps(sorted(sys.modules)))\n"
    script = f"import sys; sys.argv = {[str(unpacked / 'builder' / 'vm' / 'runner'), *arguments]}\n{code}"
    done = subprocess.run(
        [images.prefix("bare") / "bin" / "python3", "-I", "-S", "-c", script],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert needed in loaded
    assert not set(late) & set(loaded)


def test_the_index_of_the_kernels_tree_says_what_each_package_requires(kit: Kit) -> None:
    index = kernel_index(kit)
    archive = kit.archives[own_cpython()]
    places = {name.split("/")[1].partition(".")[0] for name in names(archive) if name.startswith("kernel/")}
    places |= {name.partition(".")[0] for name in tops(zipped(archive, "kernel.zip"))}
    assert {module for one in index.values() for module in one["modules"]} <= places
    assert index["pyzmq"]["modules"] == ["zmq"]
    assert index["jupyter-core"]["modules"] == ["jupyter", "jupyter_core"]
    assert any(line.startswith("typing-extensions>=") for line in index["jupyter-client"]["requires"])
    assert not any("extra" in line for one in index.values() for line in one["requires"])


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
    again = build(tmp_path, list(kit.archives))  # that of CPython 3.13 too, if it was built for other tests
    assert {name: archive.sha256 for name, archive in again.archives.items()} == {
        name: archive.sha256 for name, archive in kit.archives.items()
    }
    assert again.sha256 == kit.sha256


def made(folder: Path, **archives: bytes) -> Kit:
    folder.mkdir(exist_ok=True)
    for name, content in archives.items():
        (folder / f"{name}.tar.gz").write_bytes(content)
    return write_index(folder)


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


def test_a_missing_kit_is_reported_with_advice(tmp_path: Path) -> None:
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
    with pytest.raises(KitError, match=f"there is no kit for cp310, only for {', '.join(CPYTHONS)}, and uv"):
        build(tmp_path, ["cp310"])


def test_left_out_requirements_are_not_fetched() -> None:
    lock = "# comment\na==1 \\\n    --hash=sha256:0\n    # via b\ndebugpy==1.8 \\\n    --hash=sha256:1\nzope.x==2 \\\n    --hash=sha256:2\n"
    assert without_left_out(lock) == (
        "# comment\na==1 \\\n    --hash=sha256:0\n    # via b\nzope.x==2 \\\n    --hash=sha256:2\n"
    )


@pytest.mark.exhaustive
def test_the_images_packages_win_in_the_kernel_and_the_kits_in_the_runner(
    vm_fixture: VmFixture, tmp_path: Path
) -> None:
    """An image with its own, older traitlets-like packages: one that both kernel and runner use, one of papermill's."""
    site = tmp_path / "site"
    for name, version in {"wcwidth": "0.0.1", "papermill": "0.0.1", "yaml": "0.0.1"}.items():
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(f"__version__ = {version!r}\nwcswidth = wcwidth = len\n")
    outcome = vm_fixture.run(
        "import wcwidth, papermill, yaml\nprint(wcwidth.__version__, papermill.__version__, yaml.__version__)",
        "import sys\nprint([m for m in ('nbconvert', 'google.cloud.storage', 'nh3') if __import__('importlib.util').util.find_spec(m.split('.')[0])])",
        "print(sys.path[0] == '', 'runner' in ' '.join(sys.path), sys.path[-1].rpartition('/')[2])",
        prefix=prefix_with(site),
        own_kit=True,
    )
    assert outcome.evidence["papermill"]["exit_code"] == 0, outcome.log
    assert outcome.text(0) == "0.0.1 0.0.1 0.0.1\n"
    assert outcome.text(1) == "[]\n"
    assert outcome.executed.metadata.papermill.version == "2.7.0"


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("code", "why"),
    [
        pytest.param(
            "version = 'ancient'",
            "ModuleNotFoundError: No module named 'tornado.ioloop'",
            id="lacks a module",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            "class Options(metaclass=type, extra_items=int): pass",
            "TypeError: Options.__init_subclass__() takes no keyword arguments",
            id="refuses an argument",
        ),
    ],
)
def test_an_image_whose_packages_break_the_kernel_gets_the_kits_first(
    vm_fixture: VmFixture, tmp_path: Path, code: str, why: str
) -> None:
    site = tmp_path / "site"
    (site / "tornado").mkdir(parents=True)
    (site / "tornado" / "__init__.py").write_text(f"{code}\n")
    outcome = vm_fixture.run("import tornado\nprint(tornado.version)", prefix=prefix_with(site))
    assert outcome.evidence["papermill"]["exit_code"] == 0, outcome.log
    assert f"| the image's packages do not fit the kernel ({why}" in outcome.log
    assert outcome.text(0) != "ancient\n"
