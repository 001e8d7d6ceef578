"""A booted VM is real processes in an environment of their own, and leaves nothing at power-off."""

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

from localcloud.cloud import Cloud
from localcloud.engines.vm import images
from localcloud.engines.vm.machine import Machine, MachineSpec
from tests.patience import PATIENCE, SOON
from tests.polling import alive, eventually
from tests.writes import watch_writes

if TYPE_CHECKING:
    from collections.abc import Iterator


FINISHED = "Finished running startup scripts."


class Events:
    """Records the events of a VM."""

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
        """The script's output."""
        found = [line.partition(": startup-script: ") for line in self.text.splitlines()]
        return [line for _, mark, line in found if mark]


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Host:
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
        eventually(lambda: FINISHED in events.text)
        return events


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    for machine in host.machines:
        machine.kill()


def test_a_vm_trusts_the_certificates_that_this_machine_names(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/own/certificates.pem")
    monkeypatch.setenv("HOME_OF_MINE", "/home/mine")
    events = Events()
    with Cloud(tmp_path / "cloud") as cloud:
        script = '#!/bin/sh\necho "trusts $SSL_CERT_FILE, knows ${HOME_OF_MINE:-nothing else}"\n'
        machine = cloud._boot(host.spec(script), events)
        eventually(lambda: FINISHED in events.text)
        machine.kill()
    assert events.lines == ["trusts /own/certificates.pem, knows nothing else"]


def test_output_of_the_script_is_relayed_like_the_agents(host: Host) -> None:
    events = host.run("#!/bin/sh\necho out; echo err >&2; printf unended; exit 3\n")
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
def test_end_of_the_script(script: str, words: str, host: Host) -> None:
    assert words in host.run(script).text


def test_script_that_cannot_be_executed_leaves_the_machine_running(host: Host) -> None:
    events = host.run("#!/no/such/shell\n")
    assert re.search(r"startup-script: (/no/such/shell: bad interpreter|cannot execute)", events.lines[0])
    assert events.ends == events.shutdowns == 0


def test_machine_without_a_script_idles(host: Host) -> None:
    events = host.boot(None)
    eventually(lambda: "No startup scripts to run." in events.text)
    assert host.machines[0].processes() == []


def test_environment_is_empty_but_for_the_machines_own(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "x")
    events = host.run(
        "#!/usr/bin/python3 -I\nimport json, os\nprint(json.dumps([dict(os.environ), os.getcwd()]))"
    )
    environment, folder = json.loads(events.lines[0])
    temporary = Path(environment.pop("TMPDIR"))
    assert temporary.stat().st_mode & 0o777 == 0o700
    vm = host.folder / "vm of mine"
    for shells_own in ("PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"):
        environment.pop(shells_own, None)
    assert folder == str(vm)
    assert environment == {
        "PATH": f"{vm}/shims:{images.prefix('bare')}/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "CLOUDSDK_CONFIG": f"{vm}/run/gcloud",
        "GCE_METADATA_HOST": "127.0.0.1:8080",
        "GCE_METADATA_IP": "127.0.0.1:8080",
        "GCE_METADATA_ROOT": "127.0.0.1:8080",
    }


def test_python_of_the_machine_is_the_images(host: Host) -> None:
    events = host.run("#!/bin/sh\npython3 -c 'import sys; print(sys.prefix)'; python3 -m pip || echo no pip")
    assert events.lines[0] == str(images.prefix("bare"))
    assert events.lines[-1] == "no pip"


def test_image_may_be_any_prefix(host: Host) -> None:
    path = host.run("#!/bin/sh\necho $PATH", image=str(host.folder / "own")).lines[0]
    assert f":{host.folder / 'own'}/bin:" in path


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
def test_input_is_empty_and_there_is_no_terminal(host: Host) -> None:
    events = host.run("#!/bin/sh\nread line || echo empty\n(: </dev/tty) 2>/dev/null || echo no terminal")
    assert events.lines == ["empty", "no terminal"]


def test_line_that_is_too_long_ends_the_relay_and_breaks_the_scripts_pipe(host: Host) -> None:
    script = "#!/bin/bash\necho before\nhead -c 70000 /dev/zero | tr '\\0' x\nsleep 0.2\n"
    script += "echo after\necho after >survived\n"
    events = host.run(script)
    assert events.lines == ["before"]
    assert "bufio.Scanner: token too long" in events.text
    assert "failed with error: signal: broken pipe" in events.text
    assert not (host.folder / "vm of mine" / "survived").exists()


def test_children_live_on_after_the_script_until_power_off(host: Host) -> None:
    events = host.run("#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 &\necho $!\n")
    child = int(events.lines[0])
    assert alive(child)
    assert host.machines[0].processes() == [child]
    begin = time.monotonic()
    host.machines[0].kill()
    assert time.monotonic() - begin < SOON
    assert not alive(child)
    assert host.machines[0].processes() == []
    assert events.ends == 0


def test_script_is_over_for_the_agent_when_nobody_holds_its_output(host: Host) -> None:
    events = host.boot("#!/bin/sh\nsleep 600 &\necho done\n")
    eventually(lambda: events.lines == ["done"])
    eventually(lambda: len(host.machines[0].processes()) == 1)  # the shell has ended
    assert "exit status" not in events.text
    os.kill(host.machines[0].processes()[0], signal.SIGKILL)
    eventually(lambda: "startup-script exit status 0" in events.text)


def test_power_off_ends_a_running_script_silently(host: Host) -> None:
    events = host.boot("#!/bin/sh\necho up\nsleep 600\n")
    eventually(lambda: "up" in events.lines)
    host.machines[0].kill()
    seen = events.text
    assert "failed" not in seen
    host.machines[0].kill()  # again is nothing
    assert events.text == seen
    assert events.ends == 0


def test_a_killed_supervisor_is_reported_and_leaves_no_process(host: Host) -> None:
    script = '#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 &\necho $! $PPID "$TMPDIR"\nsleep 600\n'
    events = host.boot(script)
    eventually(lambda: events.lines)
    daemon, supervisor, temporary = events.lines[0].split()
    os.kill(int(supervisor), signal.SIGKILL)
    eventually(lambda: events.ends == 1)
    eventually(lambda: not alive(int(daemon)))
    assert not Path(temporary).exists()


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
def test_shutdown_presses_the_power_button(command: str, host: Host) -> None:
    events = host.run(f"#!/bin/sh\n{command}\n")
    eventually(lambda: events.shutdowns == 1)
    assert events.lines == []
    assert "exit status 0" in events.text


def test_shutdown_by_a_python_without_environment(host: Host) -> None:
    script = '#!/bin/sh\nexec env -i python3 -c \'import os; os.execve("\'$PWD\'/shims/shutdown", ["shutdown", "now"], {})\''
    events = host.run(
        script.replace("$PWD", '"$PWD"').replace("env -i python3", 'env -i "$(command -v python3)"')
    )
    eventually(lambda: events.shutdowns == 1)


@pytest.mark.parametrize(
    "command", ["shutdown -r now", "shutdown +5", "reboot", "systemctl reboot", "systemctl stop ssh"]
)
def test_unsupported_options_of_shutdown_are_refused(command: str, host: Host) -> None:
    events = host.run(f"#!/bin/sh\n{command}\n")
    assert "exit status 1" in events.text
    assert "localcloud's machines" in events.lines[0]
    assert events.shutdowns == 0


def test_machine_may_be_powered_off_from_its_own_shutdown(host: Host) -> None:
    done = threading.Event()

    class Off(Events):
        def guest_shutdown(self) -> None:
            host.machines[0].kill()
            done.set()

    events = host.boot("#!/bin/sh\nsleep 0.1; shutdown -h now; sleep 600\n", Off())
    assert done.wait(PATIENCE)
    assert host.machines[0].processes() == []
    assert events.ends == 0


def test_gpu_is_missing_without_one(host: Host) -> None:
    events = host.run("#!/bin/sh\nnvidia-smi\n")
    assert events.lines[0].startswith(
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    )
    assert "exit status 9" in events.text


def test_gpus_are_listed(host: Host) -> None:
    script = "#!/bin/sh\nnvidia-smi -L\nnvidia-smi --query-gpu=index,name,memory.total,count --format=csv,noheader\n"
    script += "nvidia-smi --query-gpu=name,memory.used --format=csv,nounits\nnvidia-smi\n"
    lines = host.run(script, gpu="nvidia-tesla-t4", gpu_count=2).lines
    assert [line.partition(" (UUID: GPU-")[0] for line in lines[:2]] == ["GPU 0: Tesla T4", "GPU 1: Tesla T4"]
    assert lines[2:4] == ["0, Tesla T4, 15360 MiB, 2", "1, Tesla T4, 15360 MiB, 2"]
    assert lines[4:7] == ["name, memory.used", "Tesla T4, 0", "Tesla T4, 0"]
    assert any("NVIDIA-SMI 580." in line for line in lines[7:])
    assert sum("Tesla T4" in line for line in lines[7:]) == 2


def test_unknown_gpu_field_is_refused(host: Host) -> None:
    events = host.run("#!/bin/sh\nnvidia-smi --query-gpu=colour\n", gpu="nvidia-l4")
    assert events.lines[0] == 'Field "colour" is not a valid field to query.'
    assert "exit status 2" in events.text


def test_flood_arrives_whole_in_order_and_in_bounded_memory(host: Host) -> None:
    process = psutil.Process()

    class Counting(Events):
        size, peak, tail, first = 0, 0, b"", b""

        def serial(self, data: bytes) -> None:
            self.size += len(data)
            self.first = (self.first + data[:2000])[:2000]
            self.tail = (self.tail + data)[-2000:]
            self.peak = max(self.peak, process.memory_info().rss)

    events, before = Counting(), process.memory_info().rss
    host.boot("#!/bin/sh\nseq 1000000 1499999 | sed 's/$/ abcdefghijklmnopqrstuvwxyz/'\n", events)
    eventually(lambda: FINISHED.encode() in events.tail)
    head = len(events.tail.splitlines()[-1].split(b"]: ")[0]) + len(b"]: startup-script: \r\n")
    assert events.size > 500_000 * (head + len("1000000 abcdefghijklmnopqrstuvwxyz")) > 50 << 20
    assert b"1000000 abc" in events.first
    assert b"1499999 abc" in events.tail
    assert events.peak - before < 40 << 20


def test_slow_receiver_does_not_slow_the_machine(host: Host) -> None:
    go = threading.Event()

    class Slow(Events):
        def serial(self, data: bytes) -> None:
            go.wait(PATIENCE)
            super().serial(data)

    events = host.boot("#!/bin/sh\nseq 100000\ntouch done\n", Slow())
    eventually((host.folder / "vm of mine" / "done").exists)
    go.set()
    eventually(lambda: FINISHED in events.text)
    assert events.lines == [str(number) for number in range(1, 100001)]


def test_machine_writes_only_into_its_own_folder(host: Host) -> None:
    script = "#!/bin/bash\nmktemp\npython3 -c 'import tempfile, json, ssl; print(tempfile.mkstemp()[1])'\n"
    script += "cat <<<here\necho x >in-the-current-folder\n"
    (host.folder / "neighbour").mkdir()
    home = Path.home()
    hidden = [home / name for name in (".cache", ".config", ".local", ".ipython", ".jupyter")]
    roots = [host.folder, images.prefix("bare"), *hidden]
    script += 'echo "$TMPDIR"\n'
    with watch_writes(roots, ignore=[host.folder / "vm of mine"], depth=6) as written:
        events = host.run(script)
    assert [path for path in written if path != host.folder] == []
    *files, temporary = events.lines
    assert all(Path(file).parent == Path(temporary) for file in files[:2])
    assert Path(temporary).exists()
    host.machines.pop().kill()
    assert not Path(temporary).exists()


# What programs of a notebook make Unix sockets for, in the folders that a VM's bootstrap makes below TMPDIR.
SOCKETS = {
    "manager": "with multiprocessing.Manager() as manager: manager.list([1])",
    "listener": "multiprocessing.connection.Listener(family='AF_UNIX').close()",
    "forkserver": "with multiprocessing.get_context('forkserver').Pool(1) as pool: pool.map(abs, [1])",
    "in the home folder": "bind(os.path.expanduser('~/.gnupg-agent-extra.socket'))",
    "in the current folder": "bind(os.path.abspath('server.sock'))",
    "of asyncio": "asyncio.run(serve(tempfile.mkdtemp() + '/asyncio.sock'))",
}


@pytest.mark.parametrize(
    "directory", ["short", "/".join(["a long name of a folder"] * 6)], ids=["short", "long"]
)
def test_unix_sockets_work_wherever_the_state_directory_is(directory: str, host: Host) -> None:
    code = (
        "import asyncio, multiprocessing.connection, os, socket, tempfile\n"
        "def bind(path):\n    with socket.socket(socket.AF_UNIX) as made: made.bind(path)\n"
        "async def serve(path):\n    (await asyncio.start_unix_server(print, path)).close()\n"
        "if __name__ == '__main__':\n"
        + "".join(f"    {call}\n    print({name!r})\n" for name, call in SOCKETS.items())
    )
    script = (
        '#!/bin/bash\nset -e\nhome=$(mktemp -d "$TMPDIR/notebook-builder-XXXXXXXX")\nmkdir "$home"/{home,tmp,work}\n'
        'cd "$home/work"\nexport HOME="$home/home" TMPDIR="$home/tmp"\n'
        f"cat > program.py <<'END'\n{code}END\npython3 program.py\n"
    )
    events = host.run(script, directory=host.folder / directory)
    assert events.lines == list(SOCKETS)


def test_a_long_temporary_folder_of_this_machine_is_not_the_vms(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = host.folder / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    events = host.run('#!/bin/sh\necho "$TMPDIR"\n')
    assert len(events.lines[0]) < 45


def test_write_outside_would_be_noticed(host: Host) -> None:
    with watch_writes([host.folder], ignore=[host.folder / "vm of mine"]) as written:
        host.run("#!/bin/sh\ntouch ../outside\n")
    assert host.folder / "outside" in written


def test_machine_leaves_no_descriptor_and_no_thread(host: Host) -> None:
    host.run("true")
    host.machines.pop().kill()
    descriptors, threads = open_descriptors(), threading.active_count()
    for _ in range(3):
        host.run("true")
        host.machines.pop().kill()
    eventually(lambda: threading.active_count() <= threads)
    assert open_descriptors() <= descriptors


def test_boot_that_fails_leaves_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(images.ImageError):
        host.boot("true", image="unknown")
    monkeypatch.setattr("localcloud.engines.vm.machine._shell", lambda: "/no/such/shell")
    descriptors, threads = open_descriptors(), threading.active_count()
    with pytest.raises(FileNotFoundError):
        host.boot("true")
    eventually(lambda: threading.active_count() <= threads)
    assert open_descriptors() <= descriptors


@pytest.mark.needs("namespaces")
def test_machine_boots_without_network_as_an_unprivileged_user_would(host: Host) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom localcloud.engines.vm.machine import Machine, MachineSpec\n"
        "class Events:\n  text = b''\n  def serial(self, data): self.text += data\n"
        "  def guest_shutdown(self): pass\n  def ended(self): pass\n"
        f"events = Events()\nspec = MachineSpec('h', Path({str(host.folder / 'vm')!r}), 'bare', 'sleep 99 &\\necho up', '')\n"
        "machine = Machine.boot(spec, events)\n"
        "while b'startup-script: up' not in events.text: time.sleep(0.01)\n"
        "while len(machine.processes()) > 1: time.sleep(0.01)  # the shell is ending\n"
        "left = machine.processes(); machine.kill(); print(len(left), machine.processes())\n"
    )
    result = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", code], capture_output=True, check=True, timeout=PATIENCE
    )
    assert result.stdout == b"1 []\n"
