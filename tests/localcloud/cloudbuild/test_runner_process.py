"""Steps as processes: what a step sees, what it leaves, and that nothing of it stays."""

from __future__ import annotations

import dataclasses
import io
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from localcloud.cloudbuild.process.images import CHECKOUT
from localcloud.cloudbuild.process.runner import ProcessRoom, ProcessRunner
from localcloud.cloudbuild.runner import OUTPUT_LIMIT, RunnerError, StepOrder

pytestmark = pytest.mark.slow  # real processes

GIT = "gcr.io/cloud-builders/git"
DAEMON = "import os,time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\ntime.sleep(600)"


class Run(Protocol):
    def __call__(self, script: str, **changes: object) -> tuple[int, str]: ...


def order(index: int, script: str | None = None, **changes: object) -> StepOrder:
    plain = StepOrder(index, "bash", None, (), script, {}, {}, "/workspace")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def finish(room: ProcessRoom, step: StepOrder) -> tuple[int, str]:
    running = room.start(step)
    output = running.output.read().decode()
    return running.wait(), output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "build"
    path.mkdir()
    return path


@pytest.fixture
def room(folder: Path) -> Iterator[ProcessRoom]:
    """A room, after which the host must look as before."""
    mounts, root = mount_points(), sorted(Path("/").iterdir())
    opened = ProcessRunner().open("b", folder)
    yield opened
    opened.close()
    assert not folder.exists()
    assert mount_points() == mounts
    assert sorted(Path("/").iterdir()) == root
    assert processes_naming(str(folder)) == []


@pytest.fixture
def run(room: ProcessRoom) -> Run:
    indexes = iter(range(1000))

    def run_next(script: str, **changes: object) -> tuple[int, str]:
        return finish(room, order(next(indexes), script, **changes))

    return run_next


def mount_points() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def processes_naming(text: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if text in " ".join(p.info["cmdline"] or [])]


def git(*arguments: str, cwd: Path) -> str:
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null"}
    identity |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "PATH": os.environ["PATH"]}
    return subprocess.run(
        ["git", *arguments], cwd=cwd, env=identity, check=True, capture_output=True, text=True
    ).stdout


def tgz(path: Path, files: Mapping[str, tuple[bytes, int]]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return path


# What a step sees.


def test_steps_share_workspace_and_home_and_have_their_own_outputs_and_tmp(run: Run) -> None:
    assert run("pwd; echo 1 > a; echo 2 > ~/b; echo 3 > $BUILDER_OUTPUT/c; echo 4 > /tmp/d") == (
        0,
        "/workspace\n",
    )
    assert run("cat /workspace/a /builder/home/b; echo $HOME; ls -A $BUILDER_OUTPUT /tmp") == (
        0,
        "1\n2\n/builder/home\n/builder/outputs:\n\n/tmp:\n",
    )


def test_step_output_is_its_own_and_is_cut(room: ProcessRoom, run: Run) -> None:
    run("head -c 60000 /dev/zero > $BUILDER_OUTPUT/output")
    run("echo -n second > /builder/outputs/output")
    run("mkfifo /builder/outputs/output")
    run("ln -s /etc/passwd /builder/outputs/output")
    run("true")
    assert room.step_output(0) == b"\0" * OUTPUT_LIMIT
    assert [room.step_output(index) for index in range(1, 6)] == [b"second", b"", b"", b"", b""]


def test_environment_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("CANARY", "ours")
    code, output = run(
        '#!/usr/bin/env -S sh -c \'tr "\\\\0" "\\\\n" < /proc/self/environ\'\n',
        variables={"A": "1", "BOTH": "variables", "UMLAUT": "ü\nline"},
        cloud={"BOTH": "cloud", "CLOUD": "yes"},
    )
    path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    seen = {line for line in output.splitlines() if not line.startswith(("PWD=", "_=", "SHLVL="))}
    assert code == 0
    assert seen == {
        f"PATH={path}",
        "HOME=/builder/home",
        "BUILDER_OUTPUT=/builder/outputs",
        "A=1",
        "BOTH=variables",
        "CLOUD=yes",
        "UMLAUT=ü",
        "line",
    }


def test_secret_is_in_no_argument_list_and_no_file_of_ours(room: ProcessRoom, folder: Path) -> None:
    secret = "s3cr3t-of-the-build"
    step = room.start(order(0, "echo started; sleep 600", variables={"TOKEN": secret}))
    assert step.output.readline() == b"started\n"
    assert processes_naming(secret) == []
    assert [p for p in folder.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()] == []
    step.kill()


def test_output_is_merged_in_order_and_input_is_empty(run: Run) -> None:
    assert run("cat; echo 1; echo 2 >&2; echo 3") == (0, "1\n2\n3\n")


def test_step_is_root_and_may_use_git_in_the_workspace(room: ProcessRoom, run: Run, tmp_path: Path) -> None:
    assert room.workspace is not None
    git("init", "-q", cwd=room.workspace)
    assert run("id -u; git status --short; touch x; git add x; git status --short") == (0, "0\nA  x\n")


def test_ports_of_this_machine_are_reached(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"hello")

        greeter = threading.Thread(target=greet)
        greeter.start()
        port = server.getsockname()[1]
        script = f"#!/usr/bin/env python\nimport socket\nprint(socket.create_connection(('127.0.0.1', {port})).recv(9))"
        assert run(script) == (0, "b'hello'\n")
        greeter.join()


@pytest.mark.parametrize(
    ("directory", "seen"),
    [
        ("/workspace/new/deep", "/workspace/new/deep"),
        ("/workspace/", "/workspace"),
        ("/builder/home", "/builder/home"),
        ("/usr", "/usr"),
        ("/srv-of-the-step", "/srv-of-the-step"),
    ],
)
def test_directory_is_made_as_docker_does(run: Run, directory: str, seen: str) -> None:
    assert run("pwd", directory=directory) == (0, f"{seen}\n")
    assert not Path("/srv-of-the-step").exists()


def test_directory_is_never_made_on_this_machine(run: Run) -> None:
    assert run("pwd", directory="/usr/of-the-step/x") == (
        125,
        "cannot prepare the step: [Errno 2] No such file or directory: '/usr/of-the-step/x'\n",
    )
    assert not Path("/usr/of-the-step").exists()


def test_volumes_are_shared_where_each_step_wants_them(run: Run) -> None:
    first = (("keys", "/root/.of-this-build/deep"), ("etc", "/etc/of-this-build"), ("in", "/workspace/in"))
    code, output = run(
        "echo k > /root/.of-this-build/deep/k; echo e > /etc/of-this-build/e; echo i > in/i; head -c 4 /etc/passwd",
        volumes=first,
    )
    assert (code, output) == (0, "root")
    second = (("keys", "/a"), ("etc", "/b/c"), ("in", "/var/run/of-this-build"))
    assert run("cat /a/k /b/c/e /run/of-this-build/i", volumes=second) == (0, "k\ne\ni\n")
    assert run("ls /etc/of-this-build")[0] == 2


def test_volume_may_lie_over_what_the_interpreter_needs(run: Run) -> None:
    volumes = (("v", str(Path(sys.base_prefix).parent)),)
    assert run("#!/usr/bin/env python\nprint(6 * 7)", volumes=volumes) == (0, "42\n")


# Which program a step runs.


def test_own_image_is_this_checkout_under_any_name(room: ProcessRoom) -> None:
    names = [
        "notebook-builder",
        "eu-docker.pkg.dev/p/r/notebook-builder:1",
        f"x/notebook-builder@sha256:{'0' * 64}",
    ]
    for index, image in enumerate(names):
        code, output = finish(room, order(index, image=image, args=("options",)))
        assert code == 0, output
        assert "NB_EXPECT" in output
        assert room.describe(image) == f"Already have image (with digest): {image}"


def test_entrypoint_replaces_the_program(run: Run) -> None:
    own = {"script": None, "image": "notebook-builder"}
    code, output = run(**own, entrypoint="python", args=("-c", "import sys; print(sys.prefix)"))  # type: ignore[arg-type]
    assert (code, output) == (0, f"{sys.prefix}\n")
    git_as_bash = {"script": None, "image": GIT, "entrypoint": "bash"}
    assert run(**git_as_bash, args=("-c", "echo $0 $1", "a", "b")) == (0, "a b\n")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "args", "output"),
    [
        ("ubuntu:22.04", ("echo", "a  b"), "a  b\n"),
        ("docker.io/library/alpine", ("sh", "-c", "echo $0", "x"), "x\n"),
        ("bash:5", ("-c", "echo $BASH | grep -o bash"), "bash\n"),
        ("bash", ("echo", "-c"), "-c\n"),
        ("busybox@sha256:" + "0" * 64, (), ""),
    ],
)
def test_utility_images(run: Run, image: str, args: tuple[str, ...], output: str) -> None:
    assert run(script=None, image=image, args=args) == (0, output)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "image", ["gcr.io/cloud-builders/docker", "python:3.12", "evil.example/bash", "a//b"]
)
def test_unknown_image_is_refused_with_a_way_out(room: ProcessRoom, image: str) -> None:
    with pytest.raises(RunnerError, match=image) as refusal:
        room.start(order(0, "true", image=image))
    assert "--runner docker" in str(refusal.value) or "invalid reference format" in str(refusal.value)
    assert room.describe(image) == f"Pulling image: {image}"


def test_script_without_shebang_is_for_sh(run: Run) -> None:
    assert run("echo $0; false; echo on") == (0, "/builder/script/step\non\n")
    assert run("#!/usr/bin/env bash\nset -e; echo ${BASH_VERSION:+bash}; false; echo on") == (1, "bash\n")


def test_git_clones_fetches_and_checks_out(room: ProcessRoom, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    git("init", "-q", "-b", "main", cwd=repo)
    for name in ("one", "two"):
        (repo / name).write_text(name)
        git("add", name, cwd=repo)
        git("commit", "-q", "-m", name, cwd=repo)
    first = git("rev-parse", "HEAD~1", cwd=repo).strip()
    # The step has a /tmp of its own, where the repo of this test cannot be seen.
    served = room.workspace
    assert served is not None
    repo.rename(served / "repo")
    commands = [
        ("/workspace", ("clone", "--quiet", "file:///workspace/repo", "clone")),
        ("/workspace/clone", ("fetch", "--quiet", "--depth=1", "origin", first)),
        ("/workspace/clone", ("checkout", "--quiet", "FETCH_HEAD")),
    ]
    for index, (directory, args) in enumerate(commands):
        assert finish(room, order(index, image=GIT, args=args, directory=directory)) == (0, "")
    assert sorted(path.name for path in (served / "clone").iterdir()) == [".git", "one"]


# How a step ends.


@pytest.mark.parametrize(
    ("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("kill -PIPE $$", 141)]
)
def test_exit_codes(run: Run, script: str, code: int) -> None:
    assert run(script) == (code, "")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("no-such-program", 127, '"no-such-program": executable file not found in $PATH'),
        ("./missing", 127, '"./missing": no such file'),
        ("/etc/passwd", 126, '"/etc/passwd": Permission denied'),
    ],
)
def test_what_cannot_be_started_says_so(run: Run, command: str, code: int, said: str) -> None:
    assert run(script=None, entrypoint=command) == (code, f"cannot start the step: {said}\n")  # type: ignore[arg-type]


def test_kill_ends_grandchildren_in_other_sessions_at_once(room: ProcessRoom) -> None:
    step = room.start(order(0, f"python -c '{DAEMON}' A-DAEMON-OF-THE-STEP; echo up; sleep 600"))
    assert step.output.readline() == b"up\n"
    assert len(processes_naming("A-DAEMON-OF-THE-STEP")) == 1
    step.kill()
    assert processes_naming("A-DAEMON-OF-THE-STEP") == []
    assert step.output.read() == b""
    assert step.wait() == 137
    step.kill()


def test_background_of_a_step_ends_with_it(run: Run) -> None:
    assert run(f"python -c '{DAEMON}' ANOTHER-DAEMON; sleep 600 & echo up") == (0, "up\n")
    assert processes_naming("ANOTHER-DAEMON") == []


def test_step_ends_when_localcloud_is_killed(folder: Path) -> None:
    program = (
        "import sys, pathlib\nfrom localcloud.cloudbuild.process import ProcessRunner\n"
        "from tests.localcloud.cloudbuild.test_runner_process import order\n"
        f"room = ProcessRunner().open('b', pathlib.Path({str(folder)!r}))\n"
        f"step = room.start(order(0, '''python -c '{DAEMON}' ORPHAN-OF-A-STEP; echo up; sleep 600'''))\n"
        "print(step.output.readline().decode(), flush=True)\nstep.wait()\n"
    ).replace("\\n", "\\\\n")
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=CHECKOUT) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert processes_naming("ORPHAN-OF-A-STEP")
        owner.kill()
    until(lambda: not processes_naming("ORPHAN-OF-A-STEP"))


def test_close_ends_steps_and_removes_what_is_read_only(folder: Path) -> None:
    opened = ProcessRunner().open("b", folder)
    step = opened.start(
        order(0, "mkdir -p a/b; touch a/b/c; chmod -R a-w a; chmod 0 a/b; echo up; sleep 600")
    )
    assert step.output.readline() == b"up\n"
    opened.close()
    assert step.wait() == 137
    assert not folder.exists()
    opened.close()
    with pytest.raises(RunnerError, match="over"):
        opened.start(order(1, "true"))


# Where mount namespaces are refused, and where one is inside of another.


def test_plain_folders_say_what_does_not_work(folder: Path) -> None:
    opened = ProcessRunner(plain=True).open("b", folder)
    code, output = finish(opened, order(0, "echo 1 > a; echo 2 > ~/b; echo 3 > $BUILDER_OUTPUT/output; pwd"))
    warning, pwd = output.splitlines()
    assert (code, pwd) == (0, str(folder / "workspace"))
    assert warning.startswith("WARNING: ")
    assert "(switched off)" in warning
    assert "paths that begin with /workspace" in warning
    code, output = finish(opened, order(1, "cat ../a ~/b", directory="/workspace/sub"))
    assert (code, output.splitlines()[1:]) == (0, ["1", "2"])
    code, output = finish(opened, order(2, "pwd", directory="/not-there"))
    assert code == 125
    assert opened.step_output(0) == b"3\n"
    opened.close()
    assert not folder.exists()
    assert not Path("/not-there").exists()


INSIDE = (
    "import sys, pathlib\nfrom localcloud.cloudbuild.process import ProcessRunner\n"
    "from tests.localcloud.cloudbuild.test_runner_process import finish, order\n"
    "room = ProcessRunner().open('b', pathlib.Path(sys.argv[1]))\n"
    "print(finish(room, order(0, 'cd /workspace && git init -q && git status --short && id -u')))\nroom.close()\n"
)


def test_works_inside_another_user_namespace(folder: Path) -> None:
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", INSIDE, str(folder)],
        cwd=CHECKOUT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("(0, '0\\n')\n", "")


def test_refused_namespaces_are_not_the_end(folder: Path) -> None:
    # A user namespace with no room for others below it refuses them, as a hardened kernel does.
    limits = 'for f in user mnt; do echo 0 > /proc/sys/user/max_${f}_namespaces; done; exec "$@"'
    done = subprocess.run(
        [
            "unshare",
            "-r",
            "sh",
            "-c",
            limits,
            "sh",
            sys.executable,
            "-c",
            INSIDE.replace("cd /workspace && ", ""),
            str(folder),
        ],
        cwd=CHECKOUT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (
        "WARNING: localcloud cannot give this step its own view of the file system (unshare: No space left"
        in done.stdout
    )
    assert done.stdout.endswith('do work\\n0\\n")\n')


# The source and the artifacts.


def test_source_is_unpacked_with_executable_bits(room: ProcessRoom, tmp_path: Path, run: Run) -> None:
    room.unpack(tgz(tmp_path / "s.tgz", {"run.sh": (b"#!/bin/sh\necho ran\n", 0o755), "a/b": (b"x", 0o644)}))
    assert run("./run.sh; cat /workspace/a/b; test -x a/b || echo no") == (0, "ran\nxno\n")


def test_zip_is_unpacked_with_executable_bits(room: ProcessRoom, tmp_path: Path, run: Run) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for name, mode in (("run.sh", 0o755), ("a/b", 0o644)):
            member = zipfile.ZipInfo(name)
            member.external_attr = (0o100000 | mode) << 16
            archive.writestr(member, "#!/bin/sh\necho ran\n")
    room.unpack(tmp_path / "s.zip")
    assert run("./run.sh; test -x a/b || echo no") == (0, "ran\nno\n")


@pytest.mark.parametrize("name", ["../out", "/out"])
@pytest.mark.parametrize("kind", ["tgz", "zip"])
def test_source_that_reaches_out_is_refused(
    room: ProcessRoom, tmp_path: Path, folder: Path, name: str, kind: str
) -> None:
    path = tmp_path / f"s.{kind}"
    if kind == "tgz":
        tgz(path, {name: (b"x", 0o644)})
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "x")
    if (name, kind) == ("/out", "tgz"):  # the slash is taken off, as by tar
        room.unpack(path)
        assert (folder / "workspace/out").exists()
    else:
        with pytest.raises(
            RunnerError, match=f"the source s.{kind} cannot be unpacked: .*outside the destination"
        ):
            room.unpack(path)
    assert not (folder / "out").exists()
    assert not Path("/out").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\0\0\0\0\0\0\0xxx"])
def test_damaged_source_is_an_error(room: ProcessRoom, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.tgz").write_bytes(content)
    with pytest.raises(RunnerError, match=r"the source s\.tgz cannot be unpacked"):
        room.unpack(tmp_path / "s.tgz")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", ["a.txt"]),
        ("**.txt", ["a.txt", "d/b.txt", "d/e/c.txt"]),
        ("**/c.txt", ["d/e/c.txt"]),
        ("d/*", ["d/b.txt", "d/in"]),
        ("/workspace/d/[a-c].txt", ["d/b.txt"]),
        ("./a.tx?", ["a.txt"]),
        ("[!a]*", []),
        ("d", []),
        ("../*", []),
    ],
)
def test_artifacts_are_found(room: ProcessRoom, run: Run, pattern: str, found: list[str]) -> None:
    assert room.workspace is not None
    run("mkdir -p d/e; touch a.txt d/b.txt d/e/c.txt; ln -s ../a.txt d/in; ln -s /etc/passwd d/out")
    assert [str(path.relative_to(room.workspace)) for path in room.collect(pattern)] == found


def test_processes_make_no_images(room: ProcessRoom) -> None:
    with pytest.raises(RunnerError, match=r"image x/y cannot be pushed.*--runner docker"):
        room.push("x/y", print)
