"""`python -m localcloud exec`: the command's environment, exit code and signals; nothing outlives it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.polling import alive, eventually

EXEC = [sys.executable, "-m", "localcloud", "exec"]

WHO = """
import google.auth, google.auth.compute_engine._metadata as metadata, google.auth.transport.requests
credentials, project = google.auth.default()
request = google.auth.transport.requests.Request()
credentials.refresh(request)
print(project, metadata.get(request, "instance/service-accounts/default/email"))
"""

# Counts how often it gets a signal. Its supervisor sleeps until the first has come, lest two that come together look
# like one.
COUNT = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
os.kill(os.getppid(), signal.SIGSTOP)
print("ready", flush=True)
seen = 0
while signal.sigtimedwait([signal.SIGINT], 0.5 if seen else 10):
    seen += 1
    os.kill(os.getppid(), signal.SIGCONT)
print("seen", seen, flush=True)
"""

# Runs its arguments on a terminal of their own and types a Ctrl-C when they are ready.
TERMINAL = """
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
typed = False
shown = b""
try:
    while data := os.read(terminal, 1024):
        shown += data
        if b"ready" in shown and not typed:
            typed = True
            os.write(terminal, b"\\x03")
except OSError:
    pass
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

# Boots a VM whose startup script goes on for ever, and says when it runs.
# Prints the zones, or what the service says instead.
LIST_ZONES = """
import os, urllib.error, urllib.request
try:
    zones = os.environ["LOCALCLOUD_URL"] + "/compute/v1/projects/local-project/zones"
    owner = {"Authorization": "Bearer " + os.environ["LOCALCLOUD_OWNER_TOKEN"]}
    answer = urllib.request.urlopen(urllib.request.Request(zones, headers=owner))
except urllib.error.HTTPError as error:
    answer = error
print(answer.read().decode())
"""

BOOT = """
import json, os, time, urllib.error, urllib.request
zone = os.environ["LOCALCLOUD_URL"] + "/compute/v1/projects/local-project/zones/us-central1-a"
image = "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2404-nvidia-580"
vm = {
    "name": "lasting",
    "machineType": "zones/us-central1-a/machineTypes/e2-standard-4",
    "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}}],
    "networkInterfaces": [{"network": "global/networks/default"}],
    "metadata": {"items": [{"key": "startup-script", "value": "echo running; setsid sleep 603"}]},
}
owner = {"Authorization": "Bearer " + os.environ["LOCALCLOUD_OWNER_TOKEN"]}
urllib.request.urlopen(urllib.request.Request(zone + "/instances", json.dumps(vm).encode(), owner)).read()
serial = b""
while b"startup-script: running" not in serial:
    time.sleep(0.05)
    try:
        serial = urllib.request.urlopen(urllib.request.Request(zone + "/instances/lasting/serialPort", headers=owner)).read()
    except urllib.error.HTTPError:
        pass  # not running yet
print("ready", flush=True)
time.sleep(604)
"""


def run(
    *command: str, options: tuple[str, ...] = (), cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EXEC, *options, "--", *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def python(code: str) -> tuple[str, str, str]:
    return ("python", "-c", code)


def descendants(root: int) -> dict[int, str]:
    """Pids and command lines of a process's descendants, from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: dict[int, str] = {}
    for pid in parents:
        above = pid
        while above in parents and above != root:
            above = parents[above]
        if above == root and pid != root:
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start an exec of a shell script and wait until the script has printed `ready`."""
    running: list[subprocess.Popen[str]] = []

    def start(script: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*EXEC, "--state", str(tmp_path / "state"), "--", "bash", "-c", script],
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("script", "code"), [("true", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
)
def test_the_exit_code_is_the_commands(script: str, code: int) -> None:
    assert run("sh", "-c", script).returncode == code


def test_a_command_that_is_not_there_is_127() -> None:
    done = run("no-such-program")
    assert done.returncode == 127
    assert "cannot run no-such-program" in done.stderr


def test_googles_clients_find_the_deployers_account_whatever_the_user_has_set(tmp_path: Path) -> None:
    own = tmp_path / "key.json"
    own.write_text("{}")
    done = run(
        *python(WHO),
        GOOGLE_APPLICATION_CREDENTIALS=str(own),
        CLOUDSDK_CONFIG=str(tmp_path),
        HTTP_PROXY="http://127.0.0.1:1",
        http_proxy="http://127.0.0.1:1",
        ALL_PROXY="http://127.0.0.1:1",
        NO_GCE_CHECK="true",
    )
    assert done.stdout == "local-project notebook-deployer@local-project.iam.gserviceaccount.com\n", (
        done.stderr
    )


def test_the_command_runs_in_the_current_folder_with_our_python_first(tmp_path: Path) -> None:
    done = run(*python("import os, sys; print(os.getcwd(), sys.executable)"), cwd=tmp_path)
    assert done.stdout.split() == [str(tmp_path), str(Path(sys.executable).with_name("python"))]


def test_buckets_are_there_and_the_inventory_stays(tmp_path: Path) -> None:
    code = """
import os
from google.cloud import storage
client = storage.Client(client_options={"api_endpoint": os.environ["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"]})
client.bucket("nb-test").blob("notebooks/a/b").upload_from_string("hello")
client.bucket("local-project-notebooks").blob("notebooks/c").upload_from_string("")
"""
    done = run(*python(code), options=("--bucket", "nb-test", "--state", str(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert "run unsandboxed, with your user's rights" in done.stderr
    inventory = json.loads((tmp_path / "inventory.json").read_text())
    assert {"bucket": "nb-test", "name": "notebooks/a/b", "size": 5} in inventory["storage.objects"]
    assert inventory["compute.instances"] == inventory["functions"] == []
    assert inventory["schema_violations"] == inventory["internal_errors"] == []
    assert (tmp_path / "storage/nb-test/notebooks/a/b").read_text() == "hello"


WRITE = (
    "import os\nfrom google.api_core.exceptions import Forbidden\nfrom google.cloud import storage\n"
    "place = {'api_endpoint': os.environ['CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE']}\n"
    "bucket = storage.Client(client_options=place).bucket('nb-test')\n"
    "for name in ('mine/a', 'ours/a', 'others/a'):\n"
    "    try:\n        bucket.blob(name).upload_from_string('x')\n        print(name)\n"
    "    except Forbidden:\n        print('no', name)\n"
)


def test_accounts_have_their_rights_below_the_named_prefixes_only() -> None:
    options = ("--bucket", "nb-test", "--prefix", "mine", "--prefix", "ours")
    done = run(*python(WRITE), options=options)
    assert done.stdout.splitlines() == ["mine/a", "ours/a", "no others/a"], done.stderr
    assert run(*python(WRITE), options=options[:2]).stdout.splitlines() == [
        "no mine/a",
        "no ours/a",
        "no others/a",
    ]


def test_faults_from_a_file_act_and_are_counted(tmp_path: Path) -> None:
    faults, state = tmp_path / "faults.json", tmp_path / "state"
    args = {"status": 403, "message": "no, says the plan"}
    faults.write_text(json.dumps([{"method": "compute.zones.list", "action": "error", "args": args}]))
    done = run(*python(LIST_ZONES), options=("--faults", str(faults), "--state", str(state)))
    assert "no, says the plan" in done.stdout
    assert json.loads((state / "inventory.json").read_text())["faults"][0]["consumed"] == 1


def test_without_a_state_directory_nothing_stays(tmp_path: Path) -> None:
    assert run("true", TMPDIR=str(tmp_path)).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_without_a_state_directory_nothing_stays_after_a_sigkill_either(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*EXEC, "--", "sh", "-c", "echo ready; sleep 602"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert list(tmp_path.iterdir()) != []
        process.kill()
        eventually(lambda: list(tmp_path.iterdir()) == [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["exec"], "exec needs a command after --", id="exec alone"),
        pytest.param(["exec", "--"], "exec needs a command after --", id="exec without a command"),
        pytest.param(["exec", "--bukket", "x", "--", "true"], "--bukket", id="unknown option"),
        pytest.param(
            ["exec", "--bucket", "Bad Name", "--", "true"],
            "bucket 'Bad Name' cannot be made",
            id="bad bucket",
        ),
        pytest.param(
            ["exec", "--faults", "/nowhere.json", "--", "true"],
            "faults file cannot be read",
            id="missing faults file",
        ),
        pytest.param(["exec", "--faults", "/dev/null", "--", "true"], "is not JSON", id="empty faults file"),
        pytest.param(["exec", "--prefix", "team/", "--", "true"], "is no folder of a bucket", id="prefix/"),
        pytest.param(["serve", "--prefix", 'x"y'], "is no folder of a bucket", id="quote in a prefix"),
        pytest.param(["submit", "--prefix", "source/x"], "is for the sources", id="reserved prefix"),
        pytest.param(["serve", "--port", "0x"], "no port", id="bad port"),
        pytest.param(["serve", "--", "true"], "only exec takes a command", id="command after serve"),
        pytest.param(
            ["submit", "--config", "x", "no-such-folder"], "no-such-folder", id="submit of a missing folder"
        ),
        pytest.param([], "required", id="nothing"),
    ],
)
def test_bad_usage_is_exit_2_and_a_sentence(arguments: list[str], words: str) -> None:
    done = subprocess.run(
        [*EXEC[:3], *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_fault_on_an_unknown_method_is_exit_2_before_the_command_runs(tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text('[{"method": "compute.zone.list", "action": "drop_before"}]')
    done = run("touch", str(tmp_path / "ran"), options=("--faults", str(faults)))
    assert done.returncode == 2
    assert "'compute.zone.list' is no API method that localcloud knows" in done.stderr
    assert "the nearest is 'compute.zones.list'" in done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2]
)
def test_signals_are_forwarded_and_the_command_decides(
    started: Callable[[str], subprocess.Popen[str]], signum: signal.Signals
) -> None:
    process = started(f"trap 'echo got; exit 9' {signum.value}; echo ready; while :; do sleep 0.05; done")
    process.send_signal(signum)
    assert process.communicate(timeout=PATIENCE)[0] == "got\n"
    assert process.returncode == 9


def test_a_ctrl_c_typed_at_the_terminal_arrives_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL, *EXEC, "--", *python(COUNT)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "seen 1\n" in done.stdout


def test_background_processes_of_the_command_end_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    done = run("bash", "-c", f"setsid sleep 600 & echo $! > {note}; exit 0")
    assert done.returncode == 0
    assert not alive(int(note.read_text()))


def test_nothing_survives_a_sigkill_of_localcloud(started: Callable[[str], subprocess.Popen[str]]) -> None:
    process = started("setsid sleep 600 & (setsid sleep 601 &); echo ready; sleep 602")
    below = descendants(process.pid)
    # localcloud's own child, which ends the others.
    assert any("reaper.py" in command for command in below.values())
    assert sum("sleep 60" in command for command in below.values()) >= 3
    process.kill()
    eventually(
        lambda: not any(alive(pid) for pid in below),
        lambda: {pid: command for pid, command in below.items() if alive(pid)},
    )


def test_no_vm_survives_a_sigkill_of_localcloud(
    started: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    script = tmp_path / "boot.py"
    script.write_text(BOOT)
    process = started(f"exec python {script}")
    below: dict[int, str] = {}

    def script_runs() -> bool:  # a moment after the VM
        below.update(descendants(process.pid))
        return any(command.startswith("sleep 603") for command in below.values())

    eventually(script_runs, lambda: below)
    process.kill()
    eventually(lambda: not any(alive(pid) for pid in below))


@pytest.mark.needs("namespaces")
def test_it_needs_no_network_but_loopback(tmp_path: Path) -> None:
    command = [*EXEC, "--state", str(tmp_path), "--", *python(WHO)]
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "notebook-deployer@" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["iam/policies.json", "storage.sqlite3"])
def test_a_damaged_file_of_the_state_is_named_in_one_sentence(tmp_path: Path, name: str) -> None:
    damaged = tmp_path / name
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_text("no JSON and no database" * 100)
    (tmp_path / "lock").touch()
    done = subprocess.run(
        [*EXEC, "--state", tmp_path, "--", "true"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert f"cannot start: {damaged} is damaged" in done.stderr
    assert "Traceback" not in done.stderr
