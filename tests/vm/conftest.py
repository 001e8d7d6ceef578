"""One kit and one local cloud for all tests of the VM."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import kit as kit_module
from builder.kit import Kit
from builder.kit.build import build, own_cpython

from .vm_fixture import VmFixture


@pytest.fixture(scope="session")
def kit() -> Kit:
    """The kit of this checkout, built anew where it is older than what it is made of; once for all test processes."""
    root = kit_module.ROOT
    index = root / "build" / "kit" / kit_module.INDEX
    index.parent.mkdir(parents=True, exist_ok=True)
    sources = [
        *Path(root, "builder", "vm").rglob("*.*"),
        *Path(root, "builder", "kit").glob("*.py"),
        Path(root, "builder", "strict_json.py"),
        *Path(root, "requirements").glob("kit-*"),
    ]
    newest = max(source.stat().st_mtime for source in sources if source.suffix != ".pyc")
    with Path(index.parent, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not index.exists() or index.stat().st_mtime < newest:
            build(index.parent, [own_cpython(), kit_module.UV])
        return kit_module.load()


@pytest.fixture(scope="session")
def vm_fixture(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VmFixture]:
    made = VmFixture(tmp_path_factory.mktemp("vm_fixture"), kit)
    yield made
    made.close()
