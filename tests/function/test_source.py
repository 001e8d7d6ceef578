"""The function's source archive: the same bytes for the same version, and everything that the function needs."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from builder.deploy.function_source import BUILD_ONLY, function_source
from tests.function.environment import ROOT, python
from tests.function.function_fixture import FunctionFixture


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_holds_the_function_and_every_file_of_the_builder_that_does_not_only_build_the_kit() -> None:
    source = function_source()
    assert source.sha256 == hashlib.sha256(source.zip).hexdigest()
    files = unpacked(source.zip)
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "builder").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"builder/errors.py", "builder/vm/startup.sh"} <= found
    assert set(files) == {"main.py", "requirements.txt", *found} - BUILD_ONLY
    assert files["main.py"] == (ROOT / "function" / "main.py").read_bytes()
    assert len(source.zip) < 2 << 20
    with zipfile.ZipFile(io.BytesIO(source.zip)) as archive:  # no link leads out of it
        assert {stat.filemode(entry.external_attr >> 16) for entry in archive.infolist()} == {"-rw-r--r--"}


def test_it_is_the_same_bytes_from_another_checkout_with_other_times_and_modes(tmp_path: Path) -> None:
    for folder in ("builder", "function"):
        shutil.copytree(ROOT / folder, tmp_path / folder, copy_function=shutil.copyfile)
    for number, path in enumerate(sorted(tmp_path.rglob("*.py"))):
        os.utime(path, (number, number))
        path.chmod(0o755 if number % 2 else 0o600)
    (tmp_path / "builder" / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / "builder" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (tmp_path / "function" / "notes.txt").write_text("x")
    assert function_source(tmp_path) == function_source()
    (tmp_path / "builder" / "errors.py").write_text("x = 1\n")
    assert function_source(tmp_path).sha256 != function_source().sha256


def test_a_missing_part_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        function_source(tmp_path)


def test_it_runs_without_the_checkout_and_without_client_libraries(function_fixture: FunctionFixture) -> None:
    code = (
        "import sys, main; assert 'builder.function.submit' in sys.modules; from pathlib import Path;"
        "ours = [m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'builder'];"
        "assert all(Path(f).is_relative_to(Path.cwd()) for f in ours), ours;"
        f"assert not [p for p in sys.path if p.startswith({str(ROOT)!r}) and 'site-packages' not in p], sys.path;"
        "assert not [n for n in sys.modules if n.startswith(('google.api_core', 'google.cloud.storage', 'yaml', 'nbformat'))]"
    )
    done = subprocess.run(
        [python(), "-c", code],
        cwd=function_fixture.function.source,
        env=function_fixture.function.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
