"""Machine images are independent of the interpreter that they were copied from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.engines.vm import images, relocate
from tests.machine_image import prefix_with
from tests.polling import alive, eventually
from tests.writes import watch_writes

ROOT = Path(__file__).resolve().parents[3]


def run_python(prefix: Path, code: str, **env: str) -> str:
    result = subprocess.run(
        [prefix / "bin" / "python3", "-c", code], env=env, cwd="/", capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return result.stdout


def tell(prefix: Path, expression: str, **env: str) -> object:
    return json.loads(run_python(prefix, f"import json, sys; print(json.dumps({expression}))", **env))


@pytest.fixture(scope="module")
def bare() -> Path:
    return images.prefix("bare")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's images."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return tmp_path / "machine-images"


def packages_with_marker(folder: Path, version: str) -> Path:
    (folder / "marker_package").mkdir(parents=True)
    (folder / "marker_package" / "__init__.py").write_text(f"__version__ = {version!r}\n")
    return folder


def test_bare_python_runs_from_its_own_prefix_only(bare: Path) -> None:
    path = tell(bare, "sys.path[1:]")
    assert isinstance(path, list)
    assert path
    assert all(Path(entry).is_relative_to(bare) for entry in path)
    assert tell(bare, "[sys.prefix, sys.base_prefix, sys.exec_prefix, sys.executable]") == [
        *[str(bare)] * 3,
        str(bare / "bin" / "python3"),
    ]


def test_bare_python_maps_no_file_of_the_original(bare: Path) -> None:
    maps = run_python(bare, "import ssl, ctypes; print(open('/proc/self/maps').read())")
    original = relocate.running()
    for file in [original.executable, original.stdlib, *filter(None, [original.library])]:
        assert str(file) not in maps


def test_bare_image_is_copied_not_linked(bare: Path) -> None:
    assert not [path for path in bare.rglob("*") if path.is_symlink()]
    assert [path.name for path in (bare / "bin").iterdir()] == ["python3"]


@pytest.mark.parametrize(
    "module", ["pip", "venv", "ensurepip", "idlelib", "test", "tkinter", "numpy", "papermill"]
)
def test_bare_image_lacks(bare: Path, module: str) -> None:
    assert tell(bare, f"__import__('importlib.util').util.find_spec({module!r}) is None")


def test_bare_image_has_bytecode_that_holds_after_the_move(bare: Path) -> None:
    with watch_writes([bare]) as written:
        run_python(bare, "import json, asyncio, ssl, email.parser, unittest, http.client, logging.config")
    assert written == []


def test_bare_image_has_no_site_packages_of_a_home_folder(bare: Path, tmp_path: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages_with_marker(tmp_path / ".local" / "lib" / version / "site-packages", "1")
    assert tell(bare, "__import__('site').ENABLE_USER_SITE") is False
    assert str(tmp_path) not in json.dumps(tell(bare, "sys.path", HOME=str(tmp_path)))


def test_packages_of_a_custom_image_are_seen(elsewhere: Path, tmp_path: Path) -> None:
    packages = packages_with_marker(tmp_path / "given", "0.1")
    prefix = prefix_with(packages)
    assert prefix.parent == elsewhere
    with watch_writes([prefix]) as written:
        assert prefix_with(packages) == prefix  # kept
        assert tell(prefix, "__import__('marker_package').__version__") == "0.1"  # and byte-compiled
    assert written == []
    (packages / "marker_package" / "__init__.py").write_text("__version__ = '0.2'\n")
    assert prefix_with(packages) != prefix


def test_two_processes_make_one_image(tmp_path: Path) -> None:
    code = f"import sys; sys.prefix = {str(tmp_path)!r}\nfrom localcloud.engines.vm import images\n"
    code += "print(images.prefix('bare'))"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [process.communicate() for process in both]
    assert told[0][0] == told[1][0]
    assert "".join(errors for _, errors in told).count("making the machine image") == 1
    assert sorted(path.name[:5] for path in (tmp_path / "machine-images").iterdir()) == [".lock", "bare-"]


def test_failed_image_leaves_nothing(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_source: relocate.Interpreter, target: Path) -> None:
        (target / "half").touch()
        raise OSError

    monkeypatch.setattr(relocate, "relocate", fail)
    with pytest.raises(OSError):
        images.prefix("bare")
    assert [path.name for path in elsewhere.iterdir()] == [".lock"]


def test_a_step_ends_with_the_process_that_makes_an_image_even_if_it_is_killed(tmp_path: Path) -> None:
    code = (
        "from localcloud.engines.vm.images import _run\n"
        "_run(['/bin/sh', '-c', 'echo $$ > pid.tmp; mv pid.tmp pid; exec sleep 600'], 'wait')\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    with owner:
        eventually((tmp_path / "pid").exists)
        owner.kill()
    step = int((tmp_path / "pid").read_text())
    eventually(lambda: not alive(step))


def test_leftovers_of_an_ended_process_go(elsewhere: Path) -> None:
    (elsewhere / ".making-old").mkdir(parents=True)
    images.prefix("bare")
    assert not (elsewhere / ".making-old").exists()


def test_image_that_still_uses_the_original_is_refused(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: relocate.Interpreter, target: Path) -> None:
        (target / "bin").mkdir()
        (target / "bin" / "python3").symlink_to(source.executable)

    monkeypatch.setattr(relocate, "relocate", link)
    with pytest.raises(images.ImageError, match=r"still uses .*not supported"):
        images.prefix("bare")


def test_user_site_packages_would_be_refused(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocate, "NO_USER_SITE", "")
    with pytest.raises(images.ImageError, match="still uses"):
        images.prefix("bare")


def test_an_unknown_image_and_an_unwritable_folder_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(
        images.ImageError, match="no machine image 'big', only bare, scientific, ubuntu-2404, debian-12"
    ):
        images.prefix("big")
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "file"))
    with pytest.raises(images.ImageError, match="cannot be written"):
        images.prefix("bare")


def test_command_prints_where_the_images_are(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert images.main(["bare"]) == 0
    assert capsys.readouterr().out == f"{bare}\n"
    assert images.main(["big"]) == 1
    assert "no machine image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("image", "version"),
    [
        pytest.param("ubuntu-2404", "4.10.0", id="ubuntu-2404"),
        pytest.param("debian-12", "4.4.0", id="debian-12"),
    ],
)
def test_a_distributions_packages_are_in_a_folder_of_its_own(image: str, version: str) -> None:
    prefix = images.prefix(image)
    packages = prefix / "lib" / "python3" / "dist-packages"
    found = (
        "[__import__('importlib.metadata').metadata.version('typing_extensions'), __import__('six').__file__]"
    )
    assert tell(prefix, found) == [version, str(packages / "six.py")]
    assert tell(prefix, "__import__('importlib.util').util.find_spec('pip') is None")
    managed = Path(str(tell(prefix, "__import__('sysconfig').get_path('stdlib')")), "EXTERNALLY-MANAGED")
    assert managed.read_text().startswith("[externally-managed]\nError=")
    with watch_writes([prefix]) as written:
        run_python(prefix, "import six, typing_extensions, psutil, pygments.lexers")
    assert written == []


def test_scientific_image_draws_without_a_home_and_writes_nothing_of_its_own(tmp_path: Path) -> None:
    prefix = images.prefix("scientific")
    code = "import numpy, pandas, matplotlib.pyplot as p; p.plot(numpy.arange(3)); "
    code += f"p.savefig({str(tmp_path / 'chart.png')!r}); print(numpy.__file__)"
    # Other tests may write elsewhere in the user's home at the same time.
    homes = [Path.home() / folder / "matplotlib" for folder in (".cache", ".config")]
    with watch_writes([prefix, *homes]) as written:
        told = run_python(prefix, code)
    assert Path(told.strip()).is_relative_to(prefix)
    assert (tmp_path / "chart.png").stat().st_size > 1000
    assert written == []
