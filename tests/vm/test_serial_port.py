"""Our lines reach serial port 1 even where the guest agent does not pass on what a startup script prints."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from builder import vm
from builder.vm import bootstrap
from tests.patience import PATIENCE

# A device folder and a firmware name of its own for the command that follows. $1: the terminal that is the port, $2:
# the name.
MACHINE = """
set -e
port=$1 name=$2; shift 2
mount -t tmpfs none /sys/class
mkdir -p /sys/class/dmi/id
echo "$name" >/sys/class/dmi/id/product_name
devices=$(mktemp -d)
mount -t tmpfs none "$devices"
for device in null urandom; do touch "$devices/$device"; mount --bind "/dev/$device" "$devices/$device"; done
touch "$devices/ttyS0"
mount --bind "$port" "$devices/ttyS0"
mount --rbind "$devices" /dev
exec "$@"
"""


def lines_at_the_port(tmp_path: Path, name: str, path: str) -> tuple[list[str], str]:
    """Run the startup script on a machine whose firmware has this name.

    Return the port's lines, and what was printed.
    """
    script = tmp_path / "startup"
    text = vm.startup_script().replace("METADATA_SECONDS = 120.0", "METADATA_SECONDS = 0.1")
    script.write_text(
        text.replace("/opt/conda/bin/", "/nowhere/").replace("/usr/bin/python3", "/nowhere/python3")
    )
    ours, theirs = pty.openpty()
    try:
        command = ["sh", "-c", MACHINE, "sh", os.ttyname(theirs), name, "env", "-i", f"PATH={path}"]
        done = subprocess.run(
            ["unshare", "-rm", *command, "GCE_METADATA_HOST=127.0.0.1:9", "/bin/bash", str(script)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        os.set_blocking(ours, False)
        try:
            written = os.read(ours, 65536).decode()
        except BlockingIOError:
            written = ""
    finally:
        os.close(ours)
        os.close(theirs)
    assert written == "" or written.endswith("\r\n")
    return written.split("\r\n")[:-1], done.stdout


@pytest.mark.needs("namespaces")
def test_the_startup_script_s_lines_are_at_the_port_of_a_vm(tmp_path: Path) -> None:
    (tmp_path / "cat").symlink_to("/bin/cat")
    lines, printed = lines_at_the_port(tmp_path, "Google Compute Engine", str(tmp_path))
    assert [line[:37] for line in lines] == ["notebook-builder: failed: no_python: "], printed
    assert printed == lines[0] + "\n"


@pytest.mark.needs("namespaces")
def test_the_bootstrap_s_lines_are_at_the_port_of_a_vm(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin"
    lines, printed = lines_at_the_port(tmp_path, "Google Compute Engine", path)
    assert lines[0].startswith("notebook-builder: failed: metadata: "), printed
    assert printed.splitlines() == lines


@pytest.mark.needs("namespaces")
def test_another_computer_s_port_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cat").symlink_to("/bin/cat")
    lines, printed = lines_at_the_port(tmp_path, "Standard PC (i440FX + PIIX, 1996)", str(tmp_path))
    assert lines == []
    assert "failed: no_python" in printed


def test_a_port_that_takes_nothing_does_not_hold_up_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "product_name").write_text("Google Compute Engine\n")
    monkeypatch.setattr(bootstrap, "PRODUCT", tmp_path / "product_name")
    ours, theirs = pty.openpty()
    monkeypatch.setattr(bootstrap, "SERIAL_PORT", Path(os.ttyname(theirs)))
    for number in range(1000):  # more than a terminal holds; nobody reads
        bootstrap.report(f"line {number} \x1b[31m\r\n" + "x" * 500)
    first = os.read(ours, 65536).decode().splitlines()[0]
    os.close(ours)
    os.close(theirs)
    assert first == capsys.readouterr().out.splitlines()[0]
    assert first.startswith("notebook-builder: line 0  [31m xxx")
    assert len(first) < 530
