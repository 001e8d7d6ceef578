"""A booted VM is real processes in a world of their own, and gone without a trace at power-off."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from localcloud.machine import images
from localcloud.machine.machine import Machine, MachineSpec
from localcloud.machine.writes import watch_writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


FINISHED = "Finished running startup scripts."


class Events:
    """Records what a VM tells."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.shutdowns = 0
        self.ends = 0

    def serial(self, data: bytes) -> None:
        self.data += data

    def guest_shutdown(self) -> None:
        self.shutdowns += 1

    def ended(self) -> None:
        self.ends += 1

    @property
    def text(self) -> str:
        return self.data.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """What the script printed."""
        found = [line.partition(": startup-script: ") for line in self.text.splitlines()]
        return [line for _, mark, line in found if mark]


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Room:
    """Boots VMs for one test and powers all off at its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machines: list[Machine] = []

    def spec(self, script: str | None) -> MachineSpec:
        return MachineSpec("nb-vm", self.folder / "vm of mine", "bare", script, "127.0.0.1:8080")

    def boot(self, script: str | None, events: Events | None = None, **changes: Any) -> Events:
        events = events or Events()
        self.machines.append(Machine.boot(dataclasses.replace(self.spec(script), **changes), events))
        return events

    def run(self, script: str, **changes: Any) -> Events:
        """Boot and wait for the end of the startup script."""
        events = self.boot(script, **changes)
        until(lambda: FINISHED in events.text)
        return events


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    for machine in room.machines:
        machine.kill()


def test_output_of_the_script_is_relayed_like_the_agents(room: Room) -> None:
    events = room.run("#!/bin/sh\necho out; echo err >&2; printf unended; exit 3\n")
    messages = [line.split("]: ", 1)[1] for line in events.text.split("\r\n")[:-1]]
    assert messages == [
        "Starting startup scripts (version 20250327.01-g1).",
        "Found startup-script in metadata.",
        "startup-script: out",
        "startup-script: err",
        "startup-script: unended",
        'Script "startup-script" failed with error: exit status 3',
        FINISHED,
    ]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param("#!/bin/sh\ntrue", "startup-script exit status 0", id="success"),
        pytest.param(
            "\n\n  #!/usr/bin/env python3\nraise SystemExit(4)",
            "exit status 4",
            id="blank lines before the shebang",
        ),
        pytest.param("exit 5", "exit status 5", id="no shebang"),  # no shebang: bash runs it
        pytest.param(
            "#!/no/such/shell\ntrue", "exit status 12", id="shebang of a missing shell"
        ),  # 126 or 127 by the version of bash
        pytest.param("#!/bin/sh\nkill -9 $$", "signal: killed", id="kills itself"),
    ],
)
def test_end_of_the_script(script: str, words: str, room: Room) -> None:
    assert words in room.run(script).text


def test_script_that_cannot_be_executed_leaves_the_machine_running(room: Room) -> None:
    events = room.run("#!/no/such/shell\n")
    assert re.search(r"startup-script: (/no/such/shell: bad interpreter|cannot execute)", events.lines[0])
    assert events.ends == events.shutdowns == 0


def test_machine_without_a_script_idles(room: Room) -> None:
    events = room.boot(None)
    until(lambda: "No startup scripts to run." in events.text)
    assert room.machines[0].processes() == []


def test_environment_is_empty_but_for_the_machines_own(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "x")
    events = room.run(
        "#!/usr/bin/python3 -I\nimport json, os\nprint(json.dumps([dict(os.environ), os.getcwd()]))"
    )
    environment, folder = json.loads(events.lines[0])
    vm = room.folder / "vm of mine"
    for shells_own in ("PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"):
        environment.pop(shells_own, None)
    assert folder == str(vm)
    assert environment == {
        "PATH": f"{vm}/shims:{images.prefix('bare')}/bin:/usr/bin:/bin",
        "TMPDIR": f"{vm}/tmp",
        "LANG": "C.UTF-8",
        "GCE_METADATA_HOST": "127.0.0.1:8080",
        "GCE_METADATA_IP": "127.0.0.1:8080",
        "GCE_METADATA_ROOT": "127.0.0.1:8080",
    }


def test_python_of_the_machine_is_the_images(room: Room) -> None:
    events = room.run("#!/bin/sh\npython3 -c 'import sys; print(sys.prefix)'; python3 -m pip || echo no pip")
    assert events.lines[0] == str(images.prefix("bare"))
    assert events.lines[-1] == "no pip"


def test_image_may_be_any_prefix(room: Room) -> None:
    path = room.run("#!/bin/sh\necho $PATH", image=str(room.folder / "own")).lines[0]
    assert f":{room.folder / 'own'}/bin:" in path


@pytest.fixture
def input_with_text() -> Iterator[None]:
    """Something to read on this process's own standard input."""
    kept, (reader, writer) = os.dup(0), os.pipe()
    os.write(writer, b"the owner's\n")
    os.dup2(reader, 0)
    yield
    os.dup2(kept, 0)
    for descriptor in (kept, reader, writer):
        os.close(descriptor)


@pytest.mark.usefixtures("input_with_text")
def test_input_is_empty_and_there_is_no_terminal(room: Room) -> None:
    events = room.run("#!/bin/sh\nread line || echo empty\n(: </dev/tty) 2>/dev/null || echo no terminal")
    assert events.lines == ["empty", "no terminal"]


def test_line_that_is_too_long_ends_the_relay_and_breaks_the_scripts_pipe(room: Room) -> None:
    script = "#!/bin/bash\necho before\nhead -c 70000 /dev/zero | tr '\\0' x\nsleep 0.2\n"
    script += "echo after\necho after >survived\n"
    events = room.run(script)
    assert events.lines == ["before"]
    assert "bufio.Scanner: token too long" in events.text
    assert "failed with error: signal: broken pipe" in events.text
    assert not (room.folder / "vm of mine" / "survived").exists()


def test_children_live_on_after_the_script_until_power_off(room: Room) -> None:
    events = room.run("#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 &\necho $!\n")
    child = int(events.lines[0])
    assert alive(child)
    assert room.machines[0].processes() == [child]
    begin = time.monotonic()
    room.machines[0].kill()
    assert time.monotonic() - begin < 0.5
    assert not alive(child)
    assert room.machines[0].processes() == []
    assert events.ends == 0


def test_script_is_over_for_the_agent_when_nobody_holds_its_output(room: Room) -> None:
    events = room.boot("#!/bin/sh\nsleep 600 &\necho done\n")
    until(lambda: events.lines == ["done"])
    assert "exit status" not in events.text
    os.kill(next(iter(room.machines[0].processes())), signal.SIGKILL)
    until(lambda: "startup-script exit status 0" in events.text)


def test_power_off_ends_a_running_script_silently(room: Room) -> None:
    events = room.boot("#!/bin/sh\necho up\nsleep 600\n")
    until(lambda: "up" in events.lines)
    room.machines[0].kill()
    seen = events.text
    assert "failed" not in seen
    room.machines[0].kill()  # again is nothing
    assert events.text == seen
    assert events.ends == 0


def test_killed_supervisor_is_told_and_leaves_no_process(room: Room) -> None:
    script = "#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 &\necho $! $PPID\nsleep 600\n"
    events = room.boot(script)
    until(lambda: events.lines)
    daemon, supervisor = map(int, events.lines[0].split())
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: events.ends == 1)
    until(lambda: not alive(daemon))


@pytest.mark.parametrize(
    "command",
    [
        "shutdown -h now",
        "shutdown -P now",
        "shutdown now",
        "shutdown -P +0",
        "poweroff",
        "halt",
        "systemctl -i poweroff",
    ],
)
def test_shutdown_presses_the_power_button(command: str, room: Room) -> None:
    events = room.run(f"#!/bin/sh\n{command}\n")
    until(lambda: events.shutdowns == 1)
    assert events.lines == []
    assert "exit status 0" in events.text


def test_shutdown_by_a_python_without_environment(room: Room) -> None:
    script = '#!/bin/sh\nexec env -i python3 -c \'import os; os.execve("\'$PWD\'/shims/shutdown", ["shutdown", "now"], {})\''
    events = room.run(
        script.replace("$PWD", '"$PWD"').replace("env -i python3", 'env -i "$(command -v python3)"')
    )
    until(lambda: events.shutdowns == 1)


@pytest.mark.parametrize(
    "command", ["shutdown -r now", "shutdown +5", "reboot", "systemctl reboot", "systemctl stop ssh"]
)
def test_what_the_power_button_cannot_do_is_refused(command: str, room: Room) -> None:
    events = room.run(f"#!/bin/sh\n{command}\n")
    assert "exit status 1" in events.text
    assert "localcloud's machines" in events.lines[0]
    assert events.shutdowns == 0


def test_machine_may_be_powered_off_from_its_own_shutdown(room: Room) -> None:
    done = threading.Event()

    class Off(Events):
        def guest_shutdown(self) -> None:
            room.machines[0].kill()
            done.set()

    events = room.boot("#!/bin/sh\nsleep 0.1; shutdown -h now; sleep 600\n", Off())
    assert done.wait(5)
    assert room.machines[0].processes() == []
    assert events.ends == 0


def test_gpu_is_missing_without_one(room: Room) -> None:
    events = room.run("#!/bin/sh\nnvidia-smi\n")
    assert events.lines[0].startswith(
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    )
    assert "exit status 9" in events.text


def test_gpus_are_listed(room: Room) -> None:
    script = "#!/bin/sh\nnvidia-smi -L\nnvidia-smi --query-gpu=index,name,memory.total,count --format=csv,noheader\n"
    script += "nvidia-smi --query-gpu=name,memory.used --format=csv,nounits\nnvidia-smi\n"
    lines = room.run(script, gpu="nvidia-tesla-t4", gpu_count=2).lines
    assert [line.partition(" (UUID: GPU-")[0] for line in lines[:2]] == ["GPU 0: Tesla T4", "GPU 1: Tesla T4"]
    assert lines[2:4] == ["0, Tesla T4, 15360 MiB, 2", "1, Tesla T4, 15360 MiB, 2"]
    assert lines[4:7] == ["name, memory.used", "Tesla T4, 0", "Tesla T4, 0"]
    assert any("NVIDIA-SMI 580." in line for line in lines[7:])
    assert sum("Tesla T4" in line for line in lines[7:]) == 2


def test_unknown_gpu_field_is_refused(room: Room) -> None:
    events = room.run("#!/bin/sh\nnvidia-smi --query-gpu=colour\n", gpu="nvidia-l4")
    assert events.lines[0] == 'Field "colour" is not a valid field to query.'
    assert "exit status 2" in events.text


def test_flood_arrives_whole_in_order_and_in_bounded_memory(room: Room) -> None:
    process = psutil.Process()

    class Counting(Events):
        size, peak, tail, first = 0, 0, b"", b""

        def serial(self, data: bytes) -> None:
            self.size += len(data)
            self.first = (self.first + data[:2000])[:2000]
            self.tail = (self.tail + data)[-2000:]
            self.peak = max(self.peak, process.memory_info().rss)

    events, before = Counting(), process.memory_info().rss
    room.boot("#!/bin/sh\nseq 1000000 1499999 | sed 's/$/ abcdefghijklmnopqrstuvwxyz/'\n", events)
    until(lambda: FINISHED.encode() in events.tail, 60)
    head = len(events.tail.splitlines()[-1].split(b"]: ")[0]) + len(b"]: startup-script: \r\n")
    assert events.size > 500_000 * (head + len("1000000 abcdefghijklmnopqrstuvwxyz")) > 50 << 20
    assert b"1000000 abc" in events.first
    assert b"1499999 abc" in events.tail
    assert events.peak - before < 40 << 20


def test_slow_receiver_does_not_slow_the_machine(room: Room) -> None:
    go = threading.Event()

    class Slow(Events):
        def serial(self, data: bytes) -> None:
            go.wait(20)
            super().serial(data)

    events = room.boot("#!/bin/sh\nseq 100000\ntouch done\n", Slow())
    until((room.folder / "vm of mine" / "done").exists)
    go.set()
    until(lambda: FINISHED in events.text)
    assert events.lines == [str(number) for number in range(1, 100001)]


def test_machine_writes_only_into_its_own_folder(room: Room) -> None:
    script = "#!/bin/bash\nmktemp\npython3 -c 'import tempfile, json, ssl; print(tempfile.mkstemp()[1])'\n"
    script += "cat <<<here\necho x >in-the-current-folder\n"
    (room.folder / "neighbour").mkdir()
    home = Path.home()
    hidden = [home / name for name in (".cache", ".config", ".local", ".ipython", ".jupyter")]
    roots = [room.folder, images.prefix("bare"), *hidden]
    with watch_writes(roots, ignore=[room.folder / "vm of mine"], depth=6) as written:
        events = room.run(script)
    assert [path for path in written if path != room.folder] == []
    assert all(line.startswith(str(room.folder / "vm of mine")) for line in events.lines[:2])


def test_write_outside_would_be_noticed(room: Room) -> None:
    with watch_writes([room.folder], ignore=[room.folder / "vm of mine"]) as written:
        room.run("#!/bin/sh\ntouch ../outside\n")
    assert room.folder / "outside" in written


def test_machine_leaves_no_descriptor_and_no_thread(room: Room) -> None:
    room.run("true")
    room.machines.pop().kill()
    descriptors, threads = open_descriptors(), threading.active_count()
    for _ in range(3):
        room.run("true")
        room.machines.pop().kill()
    until(lambda: threading.active_count() <= threads)
    assert open_descriptors() <= descriptors


def test_boot_that_fails_leaves_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(images.ImageError):
        room.boot("true", image="unknown")
    monkeypatch.setattr("localcloud.machine.machine._shell", lambda: "/no/such/shell")
    descriptors, threads = open_descriptors(), threading.active_count()
    with pytest.raises(FileNotFoundError):
        room.boot("true")
    until(lambda: threading.active_count() <= threads)
    assert open_descriptors() <= descriptors


@pytest.mark.needs("namespaces")
def test_machine_boots_without_network_as_an_unprivileged_user_would(room: Room) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom localcloud.machine.machine import Machine, MachineSpec\n"
        "class Events:\n  text = b''\n  def serial(self, data): self.text += data\n"
        "  def guest_shutdown(self): pass\n  def ended(self): pass\n"
        f"events = Events()\nspec = MachineSpec('h', Path({str(room.folder / 'vm')!r}), 'bare', 'sleep 99 &\\necho up', '')\n"
        "machine = Machine.boot(spec, events)\n"
        "while b'startup-script: up' not in events.text: time.sleep(0.01)\n"
        "while len(machine.processes()) > 1: time.sleep(0.01)  # the shell is ending\n"
        "left = machine.processes(); machine.kill(); print(len(left), machine.processes())\n"
    )
    result = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", code], capture_output=True, check=True, timeout=30
    )
    assert result.stdout == b"1 []\n"
