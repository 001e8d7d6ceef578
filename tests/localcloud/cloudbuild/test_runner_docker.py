"""Steps as containers: they behave like steps as processes, and leave nothing in the engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.engines.build import OUTPUT_LIMIT, RunnerError
from localcloud.engines.build_docker import runner
from localcloud.engines.build_docker.runner import DockerRunner, DockerWorker
from localcloud.profile.image import CHECKOUT
from tests.localcloud.cloudbuild.registry import registry
from tests.localcloud.cloudbuild.steps import Run, finish, order, processes_naming, runs, tgz
from tests.needs import DOCKER
from tests.polling import eventually

# Other builds may be in the same engine.
BUILD = str(uuid.uuid4())
IMAGE = f"localcloud-test/shell:{BUILD}"


def docker(*args: str, **options: object) -> str:
    done = subprocess.run([DOCKER, *args], check=True, capture_output=True, **options)  # type: ignore[call-overload]
    return str(done.stdout.decode().strip())


pytestmark = pytest.mark.needs("engine")


def shell_files(folder: Path) -> None:
    """Copy a static busybox, or this machine's shell with its libraries."""
    for name in ("bin", "tmp"):
        (folder / name).mkdir()
    if busybox := shutil.which("busybox"):
        shutil.copy(busybox, folder / "bin/busybox")
        for name in (
            "sh",
            "cat",
            "id",
            "env",
            "sleep",
            "echo",
            "head",
            "ls",
            "ln",
            "mkdir",
            "tr",
            "nc",
            "touch",
        ):
            (folder / "bin" / name).symlink_to("busybox")
        return
    for name in ("sh", "cat", "id", "env", "sleep", "echo", "head", "ls", "ln", "mkdir", "tr", "nc", "touch"):
        if program := shutil.which(name):
            shutil.copy(program, folder / "bin" / name)
            copy_libraries(Path(program), folder)


def copy_libraries(program: Path, folder: Path) -> None:
    linked = subprocess.run(["ldd", program], check=False, capture_output=True, text=True).stdout
    for word in linked.split():
        if word.startswith("/"):
            target = folder / word[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, target)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with a shell, made without a registry."""
    folder = tmp_path_factory.mktemp("image")
    shell_files(folder)
    packed = subprocess.run(["tar", "-C", folder, "-c", "."], check=True, capture_output=True).stdout
    settings = ("--change", "ENV PATH=/bin", "--change", 'ENTRYPOINT ["/bin/echo", "own"]')
    docker("import", *settings, "-", IMAGE, input=packed)
    yield IMAGE
    docker("rmi", "--force", IMAGE)


def left(build: str = BUILD) -> list[str]:
    """The engine's containers and volumes of a build."""
    label = ("--quiet", "--filter", f"label=localcloud.build={build}")
    listings = (("ps", "--all"), ("volume", "ls"), ("images",))
    return [name for listing in listings for name in docker(*listing, *label).split()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "build"
    path.mkdir()
    return path


@pytest.fixture
def worker(image: str, folder: Path) -> Iterator[DockerWorker]:
    """A worker, which must leave the engine as it was."""
    opened = DockerRunner().open(BUILD, folder)
    yield opened
    opened.close()
    opened.close()
    assert left() == []
    assert not folder.exists()


@pytest.fixture
def run(worker: DockerWorker) -> Run:
    return runs(worker, image=IMAGE)


def test_steps_share_workspace_and_home_and_have_their_own_outputs(worker: DockerWorker, run: Run) -> None:
    assert run("pwd; echo 1 > a; echo 2 > ~/b; echo -n 3 > $BUILDER_OUTPUT/output; touch /tmp/d") == (
        0,
        "/workspace\n",
    )
    assert run(
        "pwd; cat /workspace/a /builder/home/b; ls /builder/outputs /tmp", directory="/workspace/new"
    ) == (
        0,
        "/workspace/new\n1\n2\n/builder/outputs:\n\n/tmp:\n",
    )
    run("head -c 60000 /dev/zero > $BUILDER_OUTPUT/output")
    run("ln -s /bin/sh $BUILDER_OUTPUT/output")
    assert [worker.step_output(index) for index in range(4)] == [b"3", b"", b"\0" * OUTPUT_LIMIT, b""]


def test_source_arrives_as_roots(worker: DockerWorker, run: Run, tmp_path: Path) -> None:
    worker.unpack(
        tgz(tmp_path / "s.tgz", {"run.sh": (b"#!/bin/sh\necho ran\n", 0o755), "a/b": (b"x", 0o644)})
    )
    assert run("./run.sh; cat a/b; ls -ln a | tr -s ' '")[1].startswith("ran\nxtotal 4\n-rw-r--r-- 1 0 0 1 ")
    with pytest.raises(RunnerError, match="outside the destination"):
        worker.unpack(tgz(tmp_path / "s.tgz", {"../out": (b"x", 0o644)}))


def test_entrypoint_arguments_and_script(run: Run) -> None:
    assert run(args=("a  b", "--help")) == (0, "own a  b --help\n")
    assert run(entrypoint="sh", args=("-c", "echo $0 $1; exit 3", "x", "y")) == (3, "x y\n")
    assert run("#!/bin/cat\nthe script\n") == (0, "#!/bin/cat\nthe script\n")


def test_environment_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("CANARY", "ours")
    variables = {
        "A": " 1 # ",
        "LINES": "ü\nline",
        "LONG": "x" * 70_000,
        "BOTH": "variables",
        "PATH": "/bin:/x",
    }
    code, output = run(
        entrypoint="env", variables=variables, cloud={"BOTH": "cloud", "DOCKER_HOST": "tcp://127.0.0.1:1"}
    )
    seen = {line for line in output.splitlines() if not line.startswith("HOSTNAME=")}
    assert code == 0
    assert seen == {
        "A= 1 # ",
        "LINES=ü",
        "line",
        f"LONG={'x' * 70_000}",
        "BOTH=variables",
        "PATH=/bin:/x",
        "DOCKER_HOST=tcp://127.0.0.1:1",
        "HOME=/builder/home",
        "BUILDER_OUTPUT=/builder/outputs",
    }


def test_secrets_are_in_no_argument_list(worker: DockerWorker) -> None:
    secrets = {"TOKEN": "s3cr3t-of-the-build", "KEY": "s3cr3t-of\nthe-build"}
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.extend(processes_naming("s3cr3t-of"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert finish(worker, order(0, "echo $TOKEN", image=IMAGE, variables=secrets)) == (
            0,
            "s3cr3t-of-the-build\n",
        )
    finally:
        over.set()
        watcher.join()
    assert seen == []


def test_container_is_unprivileged_and_has_no_socket(worker: DockerWorker, run: Run) -> None:
    assert run("id -u; ls /var/run/docker.sock /run/docker.sock 2>/dev/null || echo none") == (0, "0\nnone\n")
    state = json.loads(docker("inspect", f"step_0_{BUILD[:8]}"))[0]
    assert state["HostConfig"]["Privileged"] is False
    assert state["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
    assert state["HostConfig"]["NetworkMode"] == "host"
    assert {mount["Type"] for mount in state["Mounts"]} == {"volume"}


def test_the_network_is_the_configured_one(image: str, folder: Path) -> None:
    opened = DockerRunner(network="none").open(BUILD, folder)
    try:
        assert finish(opened, order(0, "ls /sys/class/net", image=IMAGE)) == (0, "lo\n")
    finally:
        opened.close()


def test_socket_only_where_it_is_asked_for(
    image: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    opened = DockerRunner(socket=True).open(BUILD, folder)
    try:
        assert finish(opened, order(0, "test -S /var/run/docker.sock", image=IMAGE)) == (0, "")
        state = json.loads(docker("inspect", f"step_0_{BUILD[:8]}"))[0]
        assert state["HostConfig"]["Privileged"] is False
    finally:
        opened.close()


def test_socket_is_the_one_that_our_client_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1/docker.sock")
    assert runner._socket_mount() == ["--volume", "/run/user/1/docker.sock:/var/run/docker.sock"]


def test_exit_code_is_the_commands(run: Run) -> None:
    assert run("exit 7") == (7, "")


def test_program_that_is_not_there(run: Run) -> None:
    code, output = run(entrypoint="no-such-program")
    assert code == 127
    assert '"no-such-program": executable file not found in $PATH' in output


def test_kill_is_at_once_and_for_all(worker: DockerWorker) -> None:
    step = worker.start(order(0, "trap 'echo asked' TERM; sleep 600 & echo up; wait; sleep 601", image=IMAGE))
    assert step.output.readline() == b"up\n"
    step.kill()
    assert docker("ps", "--all", "--quiet", "--filter", f"label=localcloud.build={BUILD}") == ""
    assert step.output.read() == b""  # no signal before, and so no grace of ten seconds
    assert step.wait() == 137
    step.kill()


def test_kill_after_the_end_keeps_the_exit_code(worker: DockerWorker) -> None:
    step = worker.start(order(0, "exit 3", image=IMAGE))
    container = f"step_0_{BUILD[:8]}"
    eventually(lambda: docker("inspect", "--format", "{{.State.Status}}", container) == "exited")
    step.kill()
    assert step.wait() == 3


def test_close_ends_running_steps(image: str, folder: Path) -> None:
    opened = DockerRunner().open(BUILD, folder)
    step = opened.start(order(0, "echo up; sleep 600", image=IMAGE))
    assert step.output.readline() == b"up\n"
    opened.close()
    assert step.wait() == 137
    assert left() == []
    with pytest.raises(RunnerError, match="over"):
        opened.start(order(1, "true", image=IMAGE))


def test_nothing_is_left_when_localcloud_is_killed(image: str, folder: Path) -> None:
    build = str(uuid.uuid4())
    program = (
        "import sys, pathlib\nfrom localcloud.engines.build_docker import DockerRunner\n"
        "from tests.localcloud.cloudbuild.steps import order\n"
        f"worker = DockerRunner().open({build!r}, pathlib.Path(sys.argv[1]))\n"
        f"step = worker.start(order(0, 'echo up; sleep 600', image={IMAGE!r}))\n"
        "print(step.output.readline().decode(), flush=True)\nstep.wait()\n"
    )
    argv = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=CHECKOUT) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert left(build)
        owner.kill()
    eventually(lambda: not left(build))


def test_image_goes_to_a_registry_and_comes_from_it(worker: DockerWorker, run: Run) -> None:
    with registry() as served:
        name = f"{served.host}/repo/shell:1"
        docker("tag", IMAGE, name)
        lines: list[str] = []
        assert worker.describe(name) == f"Already have image: {name}"
        pushed = worker.push(name, lines.append)
        assert f"1: digest: {pushed} size: " in lines[-1]
        assert pushed in served.stored
        docker("rmi", name)
        assert worker.describe(name) == f"Pulling image: {name}"
        code, output = run("echo from there", image=name)
        assert (code, output.splitlines()[-1]) == (0, "from there")
        assert f"Digest: {pushed}" in output
        assert worker.describe(name) == f"Already have image (with digest): {name}"
        docker("rmi", name)


@pytest.mark.parametrize("name", ["127.0.0.1:1/not/there", "a//b"])
def test_an_image_that_cannot_be_pulled_or_pushed(worker: DockerWorker, name: str) -> None:
    with pytest.raises(RunnerError, match=name):
        worker.start(order(0, "true", image=name))
    with pytest.raises(RunnerError, match=f"image {name} cannot be pushed"):
        worker.push(name, lambda _: None)


@pytest.mark.parametrize("program", ["no-such-program", "false"])
def test_a_missing_engine_is_reported_at_once(folder: Path, program: str) -> None:
    with pytest.raises(RunnerError, match=f"no Docker engine answers `{program}`"):
        DockerRunner(docker=program).open(BUILD, folder)
