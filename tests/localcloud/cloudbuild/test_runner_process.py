"""Steps as processes: a step's file system, and its program."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from localcloud.engines.build import OUTPUT_LIMIT, RunnerError
from localcloud.engines.build_process import runner
from localcloud.engines.build_process.layout import needed
from localcloud.engines.build_process.runner import ProcessWorker
from localcloud.profile.image import CHECKOUT, digest_of
from tests.localcloud.cloudbuild.steps import Run, finish, order, processes_naming

GIT = "gcr.io/cloud-builders/git"


def git(*arguments: str, cwd: Path) -> str:
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null"}
    identity |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "PATH": os.environ["PATH"]}
    return subprocess.run(
        ["git", *arguments], cwd=cwd, env=identity, check=True, capture_output=True, text=True
    ).stdout


# What a step sees.


def test_steps_share_workspace_and_home_and_have_their_own_outputs_and_tmp(run: Run) -> None:
    assert run("pwd; echo 1 > a; echo 2 > ~/b; echo 3 > $BUILDER_OUTPUT/c; echo 4 > /tmp/d") == (
        0,
        "/workspace\n",
    )
    assert run(
        "cat /workspace/a /builder/home/b; echo $HOME; ls -A $BUILDER_OUTPUT; test -e /tmp/d || echo own"
    ) == (
        0,
        "1\n2\n/builder/home\nown\n",
    )


def test_step_output_is_its_own_and_is_cut(worker: ProcessWorker, run: Run) -> None:
    run("head -c 60000 /dev/zero > $BUILDER_OUTPUT/output")
    run("echo -n second > /builder/outputs/output")
    run("mkfifo /builder/outputs/output")
    run("ln -s /etc/passwd /builder/outputs/output")
    run("true")
    assert worker.step_output(0) == b"\0" * OUTPUT_LIMIT
    assert [worker.step_output(index) for index in range(1, 6)] == [b"second", b"", b"", b"", b""]


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


def test_secret_is_in_no_argument_list_and_no_file_of_ours(worker: ProcessWorker, folder: Path) -> None:
    secret = "s3cr3t-of-the-build"
    step = worker.start(order(0, "echo started; sleep 600", variables={"TOKEN": secret}))
    assert step.output.readline() == b"started\n"
    assert processes_naming(secret) == []
    assert [p for p in folder.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()] == []
    step.kill()


def test_output_is_merged_in_order_and_input_is_empty(run: Run) -> None:
    assert run("cat; echo 1; echo 2 >&2; echo 3") == (0, "1\n2\n3\n")


def test_step_is_root_and_may_use_git_in_the_workspace(
    worker: ProcessWorker, run: Run, tmp_path: Path
) -> None:
    assert worker.workspace is not None
    git("init", "-q", cwd=worker.workspace)
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


def test_folders_that_our_programs_need_stay_visible_below_tmp(
    monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "x").write_text("here")
    monkeypatch.setattr(runner, "needed", lambda own: [*needed(own), str(kept)])
    assert run(f"cat {kept}/x; ls {tmp_path}") == (0, "herekept\n")


# Which program a step runs.


def test_own_image_is_this_checkout_under_any_name(worker: ProcessWorker) -> None:
    names = [
        "notebook-builder",
        "eu-docker.pkg.dev/p/r/notebook-builder:1",
        f"x/notebook-builder@{digest_of(CHECKOUT)}",
        f"x/notebook-builder:1@{digest_of(CHECKOUT)}",
    ]
    for index, image in enumerate(names):
        code, output = finish(worker, order(index, image=image, args=("options",)))
        assert code == 0, output
        assert "NB_EXPECT" in output
        assert worker.describe(image) == f"Already have image (with digest): {image}"


def test_entrypoint_replaces_the_program(run: Run) -> None:
    own = {"image": "notebook-builder"}
    code, output = run(**own, entrypoint="python", args=("-c", "import sys; print(sys.prefix)"))
    assert (code, output) == (0, f"{sys.prefix}\n")
    git_as_bash = {"image": GIT, "entrypoint": "bash"}
    assert run(**git_as_bash, args=("-c", "echo $0 $1", "a", "b")) == (0, "a b\n")


@pytest.mark.parametrize(
    ("image", "args", "output"),
    [
        pytest.param("ubuntu:22.04", ("echo", "a  b"), "a  b\n", id="tag"),
        pytest.param("docker.io/library/alpine", ("sh", "-c", "echo $0", "x"), "x\n", id="registry"),
        pytest.param("bash:5", ("-c", "echo $BASH | grep -o bash"), "bash\n", id="shell as entry point"),
        pytest.param("bash", ("echo", "-c"), "-c\n", id="program of an image of a shell"),
        pytest.param("busybox@sha256:" + "0" * 64, (), "", id="digest"),
    ],
)
def test_utility_images(run: Run, image: str, args: tuple[str, ...], output: str) -> None:
    assert run(image=image, args=args) == (0, output)


@pytest.mark.parametrize(
    "image", ["gcr.io/cloud-builders/docker", "python:3.12", "evil.example/bash", "a//b"]
)
def test_unknown_image_is_refused_with_a_way_out(worker: ProcessWorker, image: str) -> None:
    with pytest.raises(RunnerError, match=image) as refusal:
        worker.start(order(0, "true", image=image))
    assert "--runner docker" in str(refusal.value) or "invalid reference format" in str(refusal.value)
    assert worker.describe(image) == f"Pulling image: {image}"


def test_script_without_shebang_is_for_sh(run: Run) -> None:
    assert run("echo $0; false; echo on") == (0, "/builder/script/step\non\n")
    assert run("#!/usr/bin/env bash\nset -e; echo ${BASH_VERSION:+bash}; false; echo on") == (1, "bash\n")


def test_git_clones_fetches_and_checks_out(worker: ProcessWorker, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    git("init", "-q", "-b", "main", cwd=repo)
    for name in ("one", "two"):
        (repo / name).write_text(name)
        git("add", name, cwd=repo)
        git("commit", "-q", "-m", name, cwd=repo)
    first = git("rev-parse", "HEAD~1", cwd=repo).strip()
    # The step has a /tmp of its own, where the repo of this test cannot be seen.
    served = worker.workspace
    assert served is not None
    repo.rename(served / "repo")
    commands = [
        ("/workspace", ("clone", "--quiet", "file:///workspace/repo", "clone")),
        ("/workspace/clone", ("fetch", "--quiet", "--depth=1", "origin", first)),
        ("/workspace/clone", ("checkout", "--quiet", "FETCH_HEAD")),
    ]
    for index, (directory, args) in enumerate(commands):
        assert finish(worker, order(index, image=GIT, args=args, directory=directory)) == (0, "")
    assert sorted(path.name for path in (served / "clone").iterdir()) == [".git", "one"]
