"""The image's kit on the Python 3.13 of its base: the real startup script runs a notebook in a container of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.kit import load
from tests.image.engine import Engine
from tests.vm.vm_fixture import VmFixture

KIT = "/opt/notebook-builder/build/kit"
PASSED_ON = ("TMPDIR", "GCE_METADATA_HOST", "GCE_METADATA_IP")


@pytest.fixture
def vm_fixture(engine: Engine, image: str, tmp_path: Path) -> VmFixture:
    """A cloud that has the kit of the image in its bucket."""
    kit = tmp_path / "kit-of-the-image"
    container = engine.call("create", "--label", engine.label, image)
    engine.call("cp", f"{container}:{KIT}", str(kit))
    engine.call("rm", container)
    return VmFixture(tmp_path, load(kit))


def test_kit_runs_a_notebook_on_python_3_13(
    engine: Engine, image: str, vm_fixture: VmFixture, tmp_path: Path
) -> None:
    def in_container(command: list[str]) -> list[str]:
        options = ["--rm", "--label", engine.label, "--network", "host", "--volume", f"{tmp_path}:{tmp_path}"]
        options += [part for name in PASSED_ON for part in ("--env", name)]
        return [engine.program, "run", *options, "--entrypoint", command[0], image, *command[1:]]

    try:
        outcome = vm_fixture.run(
            "import sys\nprint(sys.version_info[:2])", "open('outputs/a', 'w').write('b')", wrap=in_container
        )
    finally:
        vm_fixture.close()
    assert outcome.reason is None, outcome.serial
    assert outcome.text(0) == "(3, 13)\n"
    assert outcome.objects["outputs/a"] == b"b"
