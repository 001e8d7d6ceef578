"""Environments of functions: made once for a requirements.txt, with functions-framework, and kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from localcloud.engines.function import environments
from localcloud.engines.function.environments import Environments
from localcloud.engines.function.source import BuildFailed
from tests.localcloud.functions.conftest import REQUIREMENTS
from tests.patience import HANGS, PATIENCE
from tests.polling import eventually


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make installations find only two packages: a functions-framework that does nothing, and `tiny`."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("functions_framework", "tiny"):
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            about = f"{name}-1.0.dist-info"
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))  # these two never reach the user's cache
    return folder


def imports(python: Path, names: str) -> bool:
    return subprocess.run([python, "-c", f"import {names}"], check=False, capture_output=True).returncode == 0


def test_the_framework_comes_with_the_packages_and_the_environment_is_kept(
    tmp_path: Path, wheels: Path
) -> None:
    made = Environments(tmp_path / "made").python("tiny==1.0\n")
    assert imports(made, "functions_framework, tiny")
    (tmp_path / "wheels").rename(tmp_path / "gone")
    assert Environments(tmp_path / "made").python("tiny==1.0\n") == made
    with pytest.raises(BuildFailed, match="failed to install the packages"):
        Environments(tmp_path / "made").python("tiny==1.0\n# other\n")


def test_hashes_are_honoured(tmp_path: Path, wheels: Path) -> None:
    wrong = f"tiny==1.0 --hash=sha256:{'0' * 64}\n"
    with pytest.raises(BuildFailed, match=r"Hash mismatch for `tiny==1\.0`"):
        Environments(tmp_path / "made").python(wrong)
    assert not [path for path in (tmp_path / "made").iterdir() if path.is_dir()]


def test_an_incomplete_environment_is_built_again(tmp_path: Path, wheels: Path) -> None:
    made = Environments(tmp_path / "made").python("")
    (made.parents[1] / ".ready").unlink()
    made.unlink()
    assert imports(Environments(tmp_path / "made").python(""), "functions_framework")


def test_nothing_is_installed_once_it_is_closed(tmp_path: Path, wheels: Path) -> None:
    closed = Environments(tmp_path / "made")
    closed.close()
    with pytest.raises(BuildFailed, match="localcloud is ending"):
        closed.python("")


def test_the_command_makes_those_that_are_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "requirements.txt").write_text(REQUIREMENTS)
    code = environments.main([str(tmp_path / "requirements.txt"), str(tmp_path / "none.txt")])
    assert code == 0
    assert capfd.readouterr().out == f"{Environments().python(REQUIREMENTS)}\n"


def test_the_framework_is_not_beside_localcloud() -> None:
    assert not imports(Path(sys.executable), "functions_framework")


def test_all_running_installations_end_at_the_end(tmp_path: Path) -> None:
    running = Environments(tmp_path)
    failed: list[str] = []

    def install() -> None:
        try:
            running._run(["sleep", str(HANGS)])
        except BuildFailed as error:
            failed.append(str(error))

    threads = [threading.Thread(target=install) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(running._running) == len(threads))
    running.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(failed) == len(threads)
