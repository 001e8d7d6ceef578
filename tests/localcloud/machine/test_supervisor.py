"""An owned process and its descendants cannot outlive their owner."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from localcloud.engines.supervisor import OwnedProcess
from tests.patience import PATIENCE, SOON
from tests.polling import alive, eventually

if TYPE_CHECKING:
    pass


DAEMON = "import os,time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
DAEMON += "open('daemon','w').write(str(os.getpid()))\nos.rename('daemon','daemon.pid')\ntime.sleep(600)"


def read_pid(path: Path) -> int:
    eventually(path.exists)
    return int(path.read_text())


def run(script: str, **options: object) -> tuple[int, bytes]:
    with OwnedProcess.start(["sh", "-c", script], stdout=subprocess.PIPE, **options) as process:  # type: ignore[arg-type]
        assert process.stdout is not None
        return process.wait(PATIENCE), process.stdout.read()


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", -9), ("kill -TERM $$", -15), ("kill -PIPE $$", -13)],
)
def test_exit_code_is_the_commands(script: str, code: int) -> None:
    assert run(script)[0] == code


def test_the_environment_is_exactly_the_given_one() -> None:
    with OwnedProcess.start(["/usr/bin/env"], env={"A": "ü\n="}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "A=ü\n=\n".encode()


def test_environment_and_folder_default_to_the_owners(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OF_THE_OWNER", "yes")
    monkeypatch.chdir(tmp_path)
    assert run('echo "$OF_THE_OWNER"; pwd -P') == (0, f"yes\n{tmp_path.resolve()}\n".encode())


def test_folder_and_arguments_arrive_unchanged(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import os,sys; print([os.getcwd(), *sys.argv[1:]])", "", "a b", "*", "ü"]
    with OwnedProcess.start(argv, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read().decode() == f"{[str(tmp_path), '', 'a b', '*', 'ü']}\n"


def test_input_reaches_the_command() -> None:
    with OwnedProcess.start(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello")
        process.stdin.close()
        assert process.stdout.read() == b"hello"


def test_reader_sees_the_end_when_the_command_ends_though_the_supervisor_lives() -> None:
    with OwnedProcess.start(["echo", "x"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"x\n"
        assert not process._gone.is_set()


@pytest.mark.parametrize(
    ("argv", "cwd", "error"),
    [
        pytest.param(["/no/such/program"], None, FileNotFoundError, id="no such file"),
        pytest.param(["no-such-program"], None, FileNotFoundError, id="not in PATH"),
        pytest.param(["/etc/passwd"], None, PermissionError, id="not executable"),
        pytest.param(["true"], Path("/no/such/folder"), FileNotFoundError, id="no such folder"),
    ],
)
def test_command_that_cannot_start_is_an_os_error(
    argv: list[str], cwd: Path | None, error: type[OSError]
) -> None:
    with pytest.raises(error):
        OwnedProcess.start(argv, cwd=cwd)


def test_program_is_looked_up_in_the_path_of_the_command(tmp_path: Path) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    with OwnedProcess.start(["mine"], env={"PATH": str(tmp_path)}) as process:
        assert process.wait(PATIENCE) == 7


def test_wait_times_out() -> None:
    with OwnedProcess.start(["sleep", "60"]) as process, pytest.raises(TimeoutError, match="still running"):
        process.wait(0.01)


def test_kill_ends_the_command_and_tells_so() -> None:
    process = OwnedProcess.start(["sleep", "60"])
    begin = time.monotonic()
    process.kill()
    assert time.monotonic() - begin < SOON
    assert process.wait(0) == -signal.SIGKILL
    assert not alive(process.pid)
    assert process.descendants() == []
    process.kill()  # again is nothing
    process.signal(signal.SIGTERM)


def test_signal_goes_to_the_command_only(tmp_path: Path) -> None:
    script = "trap 'exit 5' TERM; (trap 'touch child-got-it' TERM; touch up; sleep 60) & while :; do sleep 0.05; done"
    with OwnedProcess.start(["sh", "-c", script], cwd=tmp_path) as process:
        eventually((tmp_path / "up").exists)
        process.signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 5
        assert not (tmp_path / "child-got-it").exists()


def test_daemon_in_a_session_of_its_own_lives_until_kill(tmp_path: Path) -> None:
    process = OwnedProcess.start([sys.executable, "-c", DAEMON], cwd=tmp_path)
    daemon = read_pid(tmp_path / "daemon.pid")
    assert process.wait(PATIENCE) == 0
    assert os.getsid(daemon) != os.getsid(0)
    assert process.descendants() == [daemon]
    process.kill()
    assert not alive(daemon)


def test_processes_that_keep_forking_are_caught(tmp_path: Path) -> None:
    hop = "import os\nwhile True:\n  if os.fork(): os._exit(0)\n  os.setsid()\n"
    process = OwnedProcess.start([sys.executable, "-c", hop], cwd=tmp_path)
    assert process.wait(PATIENCE) == 0
    process.kill()
    assert process._gone.is_set()


def test_stopped_processes_end_too() -> None:
    process = OwnedProcess.start(["sh", "-c", "sleep 60 & kill -STOP $! $$"])
    eventually(
        lambda: all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in process.descendants())
    )
    left = process.descendants()
    process.kill()
    assert not any(map(alive, left))


def test_stopped_supervisor_does_not_save_its_processes() -> None:
    process = OwnedProcess.start(["sleep", "60"])
    os.kill(psutil.Process(process.pid).ppid(), signal.SIGSTOP)
    process.kill()
    assert not alive(process.pid)


def test_command_does_not_outlive_a_killed_supervisor() -> None:
    process = OwnedProcess.start(["sleep", "60"])
    os.kill(psutil.Process(process.pid).ppid(), signal.SIGKILL)
    assert process._gone.wait(PATIENCE)
    eventually(lambda: not alive(process.pid))
    assert process.wait(0) == -signal.SIGKILL
    process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_supervisor_outlives_signals_meant_for_the_command(number: signal.Signals) -> None:
    with OwnedProcess.start(["sleep", "60"]) as process:
        os.kill(psutil.Process(process.pid).ppid(), number)
        process.signal(number)
        assert process.wait(PATIENCE) == -number


@pytest.mark.parametrize("after", [0, 0.002, 0.005, 0.01, 0.015, 0.02])
def test_signal_to_the_whole_group_does_not_catch_a_starting_supervisor(after: float) -> None:
    code = (
        "import os, signal, subprocess, sys, threading, time\nsignal.signal(signal.SIGINT, lambda *_: None)\n"
    )
    code += "from localcloud.engines.supervisor import OwnedProcess as O\n"
    code += f"threading.Timer({after}, os.killpg, (os.getpid(), signal.SIGINT)).start()\n"
    code += "p = O.start(['sleep', '0.1'], foreground=True); c = p.wait(600); p.kill(); print(c)"
    result = subprocess.run(
        [sys.executable, "-c", code], start_new_session=True, capture_output=True, check=True
    )
    assert result.stdout in (b"0\n", b"-2\n")


OWNER = """
import os, pathlib, sys, threading, time
sys.path.insert(0, {root!r})
from localcloud.engines.supervisor import OwnedProcess
started = []
def start():  # in a thread that ends: the leash must not depend on it
    started.append(OwnedProcess.start([sys.executable, "-c", {daemon!r}]))
thread = threading.Thread(target=start)
thread.start()
thread.join()
os.makedirs("scratch/below")
keep = OwnedProcess.start(["sleep", "60"], scratch=pathlib.Path("scratch").absolute())
open("sleep.tmp", "w").write(str(keep.pid))
while not os.path.exists("daemon.pid"):
    time.sleep(0.01)
os.rename("sleep.tmp", "sleep.pid")
{end}
"""


@pytest.mark.parametrize("end", ["threading.Event().wait()", "sys.exit()", "os._exit(0)", "1/0"])
def test_nothing_outlives_its_owner(end: str, tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    text = OWNER.format(root=root, daemon=DAEMON, end=end)
    owner = subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path, stderr=subprocess.DEVNULL)
    with owner:
        sleeper, daemon = read_pid(tmp_path / "sleep.pid"), read_pid(tmp_path / "daemon.pid")
        supervisors = [c.pid for c in psutil.Process(owner.pid).children()] if "wait" in end else []
        if supervisors:
            owner.kill()
    eventually(lambda: not any(map(alive, [sleeper, daemon, *supervisors])))
    eventually(lambda: not (tmp_path / "scratch").exists())


def test_command_inherits_no_descriptor_of_the_leash() -> None:
    code, listing = run("ls -l /proc/self/fd | grep -c -e socket -e pipe")
    assert (code, listing.strip()) == (0, b"1")  # its stdout


def test_ignored_hangup_stays_ignored() -> None:
    code = "import subprocess,signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    code += "from localcloud.engines.supervisor import OwnedProcess as O\n"
    code += "p=O.start(['sh','-c','kill -HUP $$; exit 4']); c=p.wait(600); p.kill(); raise SystemExit(c)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 4


FOREGROUND = """
import signal, sys
from localcloud.engines.supervisor import OwnedProcess
signal.signal(signal.SIGINT, lambda *_: None)
with OwnedProcess.start([sys.executable, "-c", {command!r}], foreground=True) as p:
    code = p.wait(600)
print("code", code, flush=True)
"""
TERMINAL = """
import sys, time
print("typed", sys.stdin.readline().strip(), flush=True)
try:
    print("ready", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep(0.1)  # the supervisor, which saw the same Ctrl-C, must still be there
    print("interrupted", flush=True)
    sys.exit(9)
"""


def test_foreground_command_reads_the_terminal_and_gets_its_ctrl_c() -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", textwrap.dedent(FOREGROUND.format(command=TERMINAL))])
    seen = b""

    def read_until(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            assert select.select([terminal], [], [], 10)[0], seen
            seen += os.read(terminal, 1000)

    try:
        os.write(terminal, b"hi\n")
        read_until(b"ready")
        os.write(terminal, b"\x03")
        read_until(b"code 9")
        assert b"typed hi" in seen
        assert b"interrupted" in seen
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def test_owned_process_idles_without_using_the_cpu() -> None:
    with OwnedProcess.start(["sleep", "60"]) as process:
        supervisor = psutil.Process(psutil.Process(process.pid).ppid())
        before = supervisor.num_ctx_switches().voluntary
        time.sleep(0.3)
        assert supervisor.num_ctx_switches().voluntary - before <= 2


def test_many_at_once_from_threads_end_cleanly() -> None:
    processes = [OwnedProcess.start(["sleep", "60"]) for _ in range(5)]
    for process in processes:
        process.kill()
    assert [p.wait(0) for p in processes] == [-9] * 5
