"""The end of steps as processes, and their run where mount namespaces are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.engines.build import RunnerError
from localcloud.engines.build_process import launcher
from localcloud.engines.build_process.runner import ProcessRunner, ProcessWorker
from localcloud.profile import OWN_IMAGE
from localcloud.profile.image import CHECKOUT
from tests.localcloud.cloudbuild.steps import DAEMON, Run, finish, order, processes_naming
from tests.polling import eventually

# How a step ends.


@pytest.mark.parametrize(
    ("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("kill -PIPE $$", 141)]
)
def test_exit_codes(run: Run, script: str, code: int) -> None:
    assert run(script) == (code, "")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        pytest.param(
            "no-such-program", 127, '"no-such-program": executable file not found in $PATH', id="not in PATH"
        ),
        pytest.param("./missing", 127, '"./missing": no such file', id="no such file"),
        pytest.param("/etc/passwd", 126, '"/etc/passwd": Permission denied', id="not executable"),
    ],
)
def test_a_program_that_cannot_start_is_reported(run: Run, command: str, code: int, said: str) -> None:
    assert run(entrypoint=command) == (code, f"cannot start the step: {said}\n")


def test_kill_ends_grandchildren_in_other_sessions_at_once(worker: ProcessWorker) -> None:
    step = worker.start(order(0, f"python -c '{DAEMON}' A-DAEMON-OF-THE-STEP; echo up; sleep 600"))
    assert step.output.readline() == b"up\n"
    eventually(lambda: len(processes_naming("A-DAEMON-OF-THE-STEP")) == 1)
    step.kill()
    assert processes_naming("A-DAEMON-OF-THE-STEP") == []
    assert step.output.read() == b""
    assert step.wait() == 137
    step.kill()


def test_background_of_a_step_ends_with_it(run: Run) -> None:
    assert run(f"python -c '{DAEMON}' ANOTHER-DAEMON; sleep 600 & echo up") == (0, "up\n")
    assert processes_naming("ANOTHER-DAEMON") == []


OWNER = (
    "import sys, pathlib\nfrom localcloud.engines.build_process import ProcessRunner\n"
    "from localcloud.profile import OWN_IMAGE\n"
    "from tests.localcloud.cloudbuild.steps import DAEMON, order\n"
    "worker = ProcessRunner(OWN_IMAGE).open('b', pathlib.Path(sys.argv[1]))\n"
    "variables = {'DAEMON': DAEMON, 'OWNED_BY': sys.argv[1]}\n"
    'script = \'python -c "$DAEMON" "of $OWNED_BY"; echo up; sleep 600\'\n'
    "step = worker.start(order(0, script, variables=variables))\n"
    "print(step.output.readline().decode(), flush=True)\nstep.wait()\n"
)


def test_step_ends_when_localcloud_is_killed(folder: Path) -> None:
    argv = [sys.executable, "-c", OWNER, str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=CHECKOUT) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"up\n"
            eventually(lambda: len(processes_naming(f"of {folder}")) == 1)
        finally:
            owner.kill()
    eventually(lambda: not processes_naming(f"of {folder}"))


def test_close_ends_steps_and_removes_read_only_files(folder: Path) -> None:
    opened = ProcessRunner(OWN_IMAGE).open("b", folder)
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


def test_plain_folders_report_their_limits(folder: Path) -> None:
    opened = ProcessRunner(OWN_IMAGE, plain=True).open("b", folder)
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
    "import sys, pathlib\nfrom localcloud.engines.build_process import ProcessRunner\n"
    "from localcloud.profile import OWN_IMAGE\n"
    "from tests.localcloud.cloudbuild.steps import finish, order\n"
    "worker = ProcessRunner(OWN_IMAGE).open('b', pathlib.Path(sys.argv[1]))\n"
    "script = 'pwd; git init -q && git status --short && id -u; mkdir -p ro/x; touch ro/x/f; chmod -R 0 ro'\n"
    "code, output = finish(worker, order(0, script))\n"
    "print(code, output, end='')\nworker.close()\n"
)


def within(unshare: list[str], limited: str, folder: Path) -> str:
    """The output of a step in a namespace of unshare's, where no namespaces of the `limited` kinds can be made."""
    limit = f'for f in {limited}; do echo 0 > /proc/sys/user/max_${{f}}_namespaces; done; exec "$@"'
    argv = ["unshare", *unshare, "sh", "-c", limit, "sh", sys.executable, "-c", INSIDE, str(folder)]
    done = subprocess.run(argv, cwd=CHECKOUT, check=False, capture_output=True, text=True)
    assert done.stderr == ""
    assert not folder.exists()
    return done.stdout


@pytest.mark.parametrize(
    "unshare",
    [["-r"], ["-rn"], ["-U", "--map-user=1000", "--map-group=1000"]],
    ids=["root", "root, no network", "user"],
)
def test_works_inside_another_user_namespace_and_for_any_user(folder: Path, unshare: list[str]) -> None:
    assert within(unshare, "", folder) == "0 /workspace\n0\n"


def test_root_needs_no_user_namespace(folder: Path) -> None:
    assert within(["-r"], "user", folder) == "0 /workspace\n0\n"


def test_refused_namespaces_are_not_the_end(folder: Path) -> None:
    first, *rest = within(["-r"], "user mnt", folder).splitlines()
    refused = "0 WARNING: localcloud cannot give this step its own view of the file system (unshare: No space left on device)"
    assert first.startswith(refused)
    assert first.endswith("; what allows it: sudo sysctl user.max_user_namespaces=10000")
    assert rest == [str(folder / "workspace"), "0"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"kernel/apparmor_restrict_unprivileged_userns": "1", "user/max_user_namespaces": "96365"},
            "; what allows it: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (
            {"kernel/unprivileged_userns_clone": "0"},
            "; what allows it: sudo sysctl kernel.unprivileged_userns_clone=1",
        ),
        ({"kernel/apparmor_restrict_unprivileged_userns": "0", "user/max_user_namespaces": "96365"}, ""),
        ({}, ""),
    ],
    ids=["ubuntu", "debian", "allowed", "unknown"],
)
def test_the_setting_that_allows_namespaces_is_named(
    tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    for name, value in settings.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    assert launcher.remedy(str(tmp_path)) == told
