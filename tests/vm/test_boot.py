"""The startup script and its bootstrap: what the VM does before the runner, around it, and when it does not work."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from builder import vm
from builder.act.serial_lines import boot_error
from builder.errors import ProjectSetup
from builder.kit import CPYTHONS
from builder.kit.build import own_cpython
from builder.vm import bootstrap
from builder.vm.protocol import KitRequest, decode_heartbeat
from tests.unit.test_serial_lines import running_vm

from .test_lease import MovedTime
from .vm_fixture import NONCE, Task, VmFixture, processes_below, sha

SHELLCHECK = Path(sys.executable).with_name("shellcheck")


def test_startup_script_is_constant_and_small() -> None:
    text = vm.startup_script()
    assert hashlib.sha256(text.encode()).digest() == hashlib.sha256(vm.startup_script().encode()).digest()
    assert len(text.encode()) < 256 * 1024
    assert text.startswith("#!/bin/bash\n")
    assert text.count(vm.MARKER) == 2
    assert "NOTEBOOK_BUILDER_BOOTSTRAP\nstatus=$?" in text


def test_startup_script_is_shellcheck_clean(tmp_path: Path) -> None:
    script = tmp_path / "startup.sh"
    script.write_text(vm.startup_script())
    subprocess.run([SHELLCHECK, script], check=True)


def start_with(folder: Path, **versions: str) -> subprocess.CompletedProcess[str]:
    """Run the startup script where PATH has these Pythons only.

    Each tells its version, and its name in the place of the bootstrap.
    """
    for name, version in versions.items():
        program = folder / name.replace("_", ".")
        program.write_text(f'#!/bin/sh\n[ "$3" = - ] && echo "started by $0" || echo {version}\n')
        program.chmod(0o755)
    text = (
        vm.startup_script()
        .replace("/opt/conda/bin/", "/nowhere/")
        .replace("/usr/bin/python3", "/nowhere/python3")
    )
    return subprocess.run(
        ["/bin/bash"], input=text, env={"PATH": str(folder)}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        pytest.param({}, "", id="none"),
        pytest.param({"python3": "3.10"}, "; python3 is Python 3.10", id="older"),
        pytest.param({"python3": "3.16"}, "; python3 is Python 3.16", id="newer"),
    ],
)
def test_without_a_python_that_has_a_kit_it_says_which_there_is(
    tmp_path: Path, versions: dict[str, str], found: str
) -> None:
    done = start_with(tmp_path, **versions)
    assert done.returncode == 1
    supported = [f"3.{name[3:]}" for name in CPYTHONS]
    listed = f"{', '.join(supported[:-1])} or {supported[-1]}"
    assert done.stdout == (
        f"notebook-builder: failed: no_python: no CPython {listed} on PATH, in /opt/conda/bin or in /usr/bin{found}\n"
    )


@pytest.mark.parametrize("cpython", CPYTHONS)
def test_each_cpython_that_has_a_kit_is_found(tmp_path: Path, cpython: str) -> None:
    version = f"3.{cpython[3:]}"
    first, later = tmp_path / "first", tmp_path / "later"
    first.mkdir()
    later.mkdir()
    assert start_with(first, python3=version).stdout == f"started by {first}/python3\n"
    name = f"python3_{cpython[3:]}"
    assert (
        start_with(later, python3="3.10", **{name: version}).stdout == f"started by {later}/python{version}\n"
    )


@pytest.mark.parametrize(("max_run", "calls"), [(3600, True), (1500, False)])
def test_power_off_only_far_from_the_servers_deadline(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    max_run: float,
    calls: bool,  # noqa: FBT001 - a test's parameter
) -> None:
    called = tmp_path / "called"
    (tmp_path / "shutdown").write_text(f'#!/bin/sh\necho "$@" > "{called}"\n')
    (tmp_path / "shutdown").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(bootstrap, "STARTED", time.monotonic() - 100)
    monkeypatch.setattr(bootstrap, "delete_self", lambda _job, _patience: False)
    bootstrap.end_of_life({"max_run_duration": max_run}, 0)
    assert called.exists() is calls
    if calls:
        assert called.read_text() == "-h now\n"
    else:
        assert "left to the server" in capsys.readouterr().out


def test_an_accepted_self_deletion_is_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, str]] = []

    class Answer:
        def __enter__(self) -> None:
            return None

        def __exit__(self, *_: object) -> None:
            return None

    def request(url: str, _headers: dict[str, str], method: str = "GET") -> Any:
        asked.append((method, url))
        if len(asked) == 1:
            raise ConnectionResetError
        return Answer()

    values = {"project/project-id": "p", "instance/zone": "projects/1/zones/z", "instance/name": "nb-x"}
    monkeypatch.setattr(bootstrap, "metadata", lambda path, _deadline: values[path])
    monkeypatch.setattr(bootstrap, "token", lambda: "t")
    monkeypatch.setattr(bootstrap, "request", request)
    bootstrap.end_of_life({"compute_endpoint": "http://c", "max_run_duration": 3600}, 0)
    assert asked == [("DELETE", "http://c/compute/v1/projects/p/zones/z/instances/nb-x")] * 2
    assert "deletion of this VM was accepted" in capsys.readouterr().out


def test_no_job_in_the_metadata(vm_fixture: VmFixture) -> None:
    task = Task()
    text = vm.startup_script().replace("METADATA_SECONDS = 120.0", "METADATA_SECONDS = 1.0")
    outcome = vm_fixture.boot(None, task, script=text)
    assert "notebook-builder: failed: metadata: no value for instance/attributes/nb-job" in outcome.serial
    assert "left to the server" in outcome.serial


@pytest.mark.exhaustive
def test_inputs_may_arrive_late(vm_fixture: VmFixture) -> None:
    task = Task(cells=("1 + 1",), own_kit=True)
    settings = vm_fixture.stage(task)
    names = [settings["job"]["object"], settings["job"]["object"].replace("job.json", "workspace.tar.gz")]
    own = vm_fixture.kit.archives[own_cpython()]
    kit = f"ci/kits/late/{own.sha256}.tar.gz"
    settings["kits"][own.name]["object"] = kit
    held = {name: vm_fixture.bucket.blob(name).download_as_bytes() for name in names}
    for name in names:
        vm_fixture.bucket.blob(name).delete()

    wishes: list[bytes] = []

    def arrive() -> None:
        heartbeat = vm_fixture.bucket.blob(settings["attempt_prefix"] + "heartbeat.json")
        while not heartbeat.exists():
            time.sleep(0.05)
        wishes.append(heartbeat.download_as_bytes())
        vm_fixture.put(kit, own.path.read_bytes())
        for name in names:
            time.sleep(0.5)
            vm_fixture.put(name, held[name])

    thread = threading.Thread(target=arrive)
    thread.start()
    outcome = vm_fixture.boot(settings, task)
    thread.join()
    assert outcome.evidence["papermill"]["exit_code"] == 0
    request = KitRequest(nonce_sha256=sha(NONCE.encode()), attempt=1, kit=own.name)
    assert [decode_heartbeat(wish) for wish in wishes] == [request]


def packed_kit(folder: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(folder / "kit.tar.gz", "w:gz") as kit:
        for member in members:
            member.size = len(member.name) if member.isreg() else 0
            kit.addfile(member, io.BytesIO(member.name.encode()))
    return folder / "kit.tar.gz"


@pytest.mark.parametrize("path", ["/usr/bin:/bin", "/nowhere"], ids=["tar", "no tar"])
def test_a_kit_is_unpacked_with_and_without_tar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    archive = packed_kit(tmp_path, tarfile.TarInfo("runner/__main__.py"), tarfile.TarInfo("kernel/a/b/c.py"))
    monkeypatch.setenv("PATH", path)
    by_python: list[Path] = []
    real = bootstrap.unpack_by_python

    def noted(archive: Path, target: Path) -> None:
        by_python.append(target)
        real(archive, target)

    monkeypatch.setattr(bootstrap, "unpack_by_python", noted)
    bootstrap.unpack_kit(archive, tmp_path / "kit")
    found = {
        p.relative_to(tmp_path / "kit").as_posix(): p.read_text() for p in (tmp_path / "kit").rglob("*.py")
    }
    assert found == {name: name for name in ("runner/__main__.py", "kernel/a/b/c.py")}
    assert bool(by_python) is (path == "/nowhere")


def test_a_partly_unpacked_kit_is_unpacked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tar = tmp_path / "tar"
    tar.write_text('#!/bin/sh\nfor last; do :; done\n/bin/touch "$last/torn"\nexit 2\n')
    tar.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    bootstrap.unpack_kit(packed_kit(tmp_path, tarfile.TarInfo("runner/a.py")), tmp_path / "kit")
    assert [p.name for p in (tmp_path / "kit").rglob("*") if p.is_file()] == ["a.py"]


def test_without_tar_nothing_but_plain_files_inside_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    link = tarfile.TarInfo("runner/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    for number, member in enumerate((link, tarfile.TarInfo("../out"), tarfile.TarInfo("/tmp/out"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(bootstrap.BootError, match="is not a plain file of the kit"):
            bootstrap.unpack_kit(packed_kit(folder, member), folder / "kit")


def test_a_python_without_a_kit_is_named() -> None:
    entry = {"object": "o", "sha256": "h"}
    assert bootstrap.kit_of({"kits": {bootstrap.CPYTHON: entry, "uv": {}}}) == ("o", "h")
    with pytest.raises(
        bootstrap.BootError, match=r"Python is cp3\d+, and the builder has kits for cp310, cp39 only"
    ):
        bootstrap.kit_of({"kits": {"cp310": entry, "cp39": entry, "uv": entry}})


def test_a_kit_with_another_hash_is_not_run(vm_fixture: VmFixture) -> None:
    settings = vm_fixture.stage(Task(cells=("1",), settings={"boot_timeout": 2}, own_kit=True))
    settings["kits"][own_cpython()]["sha256"] = "0" * 64
    outcome = vm_fixture.boot(settings, Task())
    assert "notebook-builder: failed: kit: " in outcome.serial
    assert vm_fixture.kit.archives[own_cpython()].sha256 in outcome.serial
    # It may be what a broken upload left, which the builder can mend.
    assert set(outcome.objects) == {"heartbeat.json"}
    assert json.loads(outcome.objects["heartbeat.json"])["kit"] == own_cpython()


def test_staged_bytes_that_differ_are_a_fault(vm_fixture: VmFixture) -> None:
    settings = vm_fixture.stage(Task(cells=("1",)))
    vm_fixture.put(settings["job"]["object"].replace("job.json", "workspace.tar.gz"), b"other bytes")
    outcome = vm_fixture.boot(settings, Task())
    assert outcome.reason == "storage"
    assert "not " in outcome.evidence["fault"]["message"]
    assert outcome.evidence["papermill"] is None


def test_run_limit_ends_everything_and_keeps_the_notebook(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run(
        "print('first')",
        "import time, subprocess\nsubprocess.Popen(['sleep', '300'], start_new_session=True)\ntime.sleep(300)",
        settings={"boot_timeout": 25, "run_limit": 5},
    )
    assert "run limit reached" in outcome.serial
    assert outcome.reason == "run_timeout"
    assert outcome.evidence["fault"]["message"] == "the VM's limit ended the run in cell 2 of 2"
    assert outcome.text(0) == "first\n"
    assert processes_below(outcome.folder) == []


def test_an_upload_that_overruns_ends_with_evidence(vm_fixture: VmFixture) -> None:
    """Otherwise the builder would take the VM for lost, and run the notebook on two more."""
    faults = vm_fixture.cloud.faults
    faults.add(
        {
            "method": "storage.objects.insert",
            "action": "delay",
            "args": {"seconds": 60},
            "match": {"name": "*/outputs/big.bin"},
        }
    )
    outcome = vm_fixture.run(
        "import pathlib\nfor name in ('big.bin', 'small.txt'):\n    pathlib.Path('outputs', name).write_text(name)",
        settings={"boot_timeout": 20, "run_limit": 5},
    )
    assert faults.inventory()[-1]["consumed"] == 1
    assert outcome.reason == "run_timeout"
    assert (
        outcome.evidence["fault"]["message"] == "the VM's limit ended the run before its results were stored"
    )
    assert "outputs/big.bin" not in {stored["name"] for stored in outcome.evidence["objects"]}
    assert outcome.evidence["executed_notebook"] == "demo.ipynb"


def test_a_runner_that_is_killed_leaves_nothing_running(vm_fixture: VmFixture) -> None:
    cell = (
        "import os, signal, pathlib, subprocess, time\n"
        "subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "for p in pathlib.Path('/proc').glob('[0-9]*'):\n"
        "    try:\n        line = (p / 'cmdline').read_bytes()\n        env = (p / 'environ').read_bytes()\n"
        "    except OSError:\n        continue\n"
        "    if b'\\0run\\0' in line and os.fsencode(os.environ['TMPDIR']) in env:\n        os.kill(int(p.name), signal.SIGKILL)\n"
        "time.sleep(300)"
    )
    outcome = vm_fixture.run(cell)
    assert "notebook-builder: failed: runner: it ended with exit status -9" in outcome.serial
    assert "evidence.json" not in outcome.objects
    assert processes_below(outcome.folder) == []


@pytest.mark.needs("namespaces")
def test_full_disk(vm_fixture: VmFixture) -> None:
    def small_disk(command: list[str]) -> list[str]:
        mount = 'mount -t tmpfs -o size=170m none "$TMPDIR" && exec "$@"'
        return ["unshare", "-rm", "sh", "-c", mount, "sh", *command]

    outcome = vm_fixture.run(
        "print('kept')",
        "with open('outputs/big', 'wb') as f:\n    while True:\n        f.write(b'x' * 1_000_000)",
        wrap=small_disk,
    )
    assert outcome.reason == "disk_full"
    assert outcome.evidence["papermill"]["exit_code"] == 1
    assert outcome.text(0) == "kept\n"
    assert outcome.evidence["disk_free_bytes"] < 5_000_000
    assert "# cell 1/2 ok" in outcome.log


@pytest.mark.exhaustive  # test_runner.py shows both without a VM
def test_gpu_is_waited_for_and_missed(vm_fixture: VmFixture) -> None:
    smi = '#!/bin/sh\n[ "$1" = -L ] || exit 3\nn="$0.calls"\necho x >> "$n"\n'
    late = smi + '[ "$(wc -l < "$n")" -ge 2 ] || { echo "NVIDIA-SMI has failed: no driver yet"; exit 9; }\n'
    seen = vm_fixture.run(
        "1",
        job={"accelerator": {"type": "nvidia-tesla-t4", "count": 1}},
        programs={"nvidia-smi": late + 'echo "GPU 0: Tesla T4 (UUID: GPU-1)"\n'},
    )
    assert seen.evidence["fault"] is None
    assert "# GPU 0: Tesla T4" in seen.log
    missed = vm_fixture.run(
        "1",
        job={"accelerator": {"type": "nvidia-tesla-t4", "count": 1}},
        programs={
            "nvidia-smi": "#!/bin/sh\necho 'couldn'\"'\"'t communicate with the NVIDIA driver' >&2\nexit 9\n"
        },
        settings={"boot_timeout": 6},
    )
    assert missed.reason == "gpu_not_visible"
    assert "couldn't communicate with the NVIDIA driver" in missed.evidence["fault"]["message"]
    assert missed.evidence["papermill"] is None


@pytest.mark.exhaustive
def test_a_lost_reply_of_an_upload_is_not_a_failure(vm_fixture: VmFixture) -> None:
    faults: list[dict[str, Any]] = [
        {
            "method": "storage.objects.insert",
            "match": {"name": "*/demo.ipynb"},
            "times": 1,
            "action": "drop_after",
            "args": {},
        },
        {
            "method": "storage.objects.insert",
            "match": {"name": "*/evidence.json"},
            "times": 1,
            "action": "drop_after",
            "args": {},
        },
        {
            "method": "storage.objects.insert",
            "match": {"name": "*/heartbeat.json"},
            "times": 2,
            "action": "error",
            "args": {"status": 503, "reason": "backendError", "message": "try again"},
        },
    ]
    for spec in faults:
        vm_fixture.cloud.faults.add(spec)
    outcome = vm_fixture.run("1 + 1")
    consumed = {
        spec["match"]["name"]: spec["consumed"]
        for spec in vm_fixture.cloud.faults.inventory()
        if spec.get("match")
    }
    assert consumed == {"*/demo.ipynb": 1, "*/evidence.json": 1, "*/heartbeat.json": 2}
    assert outcome.evidence["papermill"]["exit_code"] == 0
    assert outcome.evidence["fault"] is None
    assert json.loads(outcome.objects["heartbeat.json"])["phase"] == "done"


def test_a_vm_that_reaches_nothing_says_so_while_it_boots(vm_fixture: VmFixture) -> None:
    """No connection opens to a closed port.

    Its cause is another than a subnetwork without Private Google Access, whose packets get no answer.
    """
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # not listening: a connection is refused
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        settings = vm_fixture.stage(Task(cells=("1",), settings={"storage_endpoint": endpoint}))
        script = vm.startup_script().replace("REACH_SECONDS = 60.0", "REACH_SECONDS = 1.0")
        outcome = vm_fixture.boot(settings, Task(), script=script)
    error = boot_error(running_vm(), "local-project", outcome.serial.splitlines())
    assert error is not None
    assert error.reason == "boot_failed"
    assert f"no connection to {endpoint[7:]} opens from this VM" in error.message
    assert outcome.seconds < 200  # not the whole boot_timeout


def test_each_address_is_tried_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "time", MovedTime())
    addresses = [(2, 1, 6, "", (f"127.0.0.{number}", 443)) for number in range(1, 17)]
    tried: list[tuple[str, float]] = []

    def connect(address: tuple[str, int], seconds: float) -> None:
        tried.append((address[0], seconds))
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: addresses)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(bootstrap.BootError, match=r"storage\.googleapis\.com:443 .*timed out"):
        bootstrap.reach("https://storage.googleapis.com", 0.1)
    assert len({address for address, _ in tried}) == 16
    assert {seconds for _, seconds in tried} == {bootstrap.CONNECT_SECONDS}


@pytest.mark.exhaustive
def test_a_vm_account_that_may_not_write_is_named_on_the_serial_port(vm_fixture: VmFixture) -> None:
    settings = vm_fixture.stage(Task(cells=("1",)))
    # Kits are readable for the VM's account, and nobody but the builder writes beside them.
    settings["attempt_prefix"] = "ci/kits/attempt-1/"
    outcome = vm_fixture.boot(settings, Task())
    assert (
        "notebook-builder: heartbeat: gs://nb-test/ci/kits/attempt-1/heartbeat.json: Forbidden"
        in outcome.serial
    )
    assert "storage.objects.create" in outcome.serial
    assert "notebook-builder: failed: runner" in outcome.serial
    assert outcome.objects == {}
    error = boot_error(running_vm(), "local-project", outcome.serial.splitlines())
    assert isinstance(error, ProjectSetup)
    assert "storage.objects.create" in error.message


def test_a_spot_vm_that_is_taken_back_saves_the_notebook_and_says_so(
    vm_fixture: VmFixture, tmp_path: Path
) -> None:
    """No process gets a signal: the runner hears it from the metadata server alone."""
    waits = tmp_path / "the second cell runs"
    outcome = vm_fixture.run(
        "print('first')\nopen('outputs/a.txt', 'w').write('a')",
        f"import pathlib, time\npathlib.Path({str(waits)!r}).touch()\ntime.sleep(300)",
        preempted=waits.exists,
        job={"heartbeat_seconds": 0.1},
    )
    assert outcome.reason == "preempted"
    assert outcome.text(0) == "first\n"
    assert outcome.objects.get("outputs/a.txt") == b"a", (outcome.log, outcome.serial, outcome.evidence)
    assert outcome.log.count("# preempted: Compute Engine took the Spot VM back") == 1
    assert json.loads(outcome.objects["heartbeat.json"])["phase"] == "preempted"
