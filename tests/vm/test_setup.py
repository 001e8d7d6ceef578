"""The set-up script on a VM.

Before the notebook, in its folder, with a limit of its own; its failure is the notebook's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .renewal import renewed_until
from .vm_fixture import Outcome, VmFixture, notebook, processes_below


def run(vm_fixture: VmFixture, script: str, *cells: str, timeout: float = 600, **job: Any) -> Outcome:
    wanted = {"setup": {"path": "tools/setup.sh", "timeout": timeout}, **job}
    return vm_fixture.run(*cells or ("1",), files={"tools/setup.sh": script.encode()}, job=wanted)


def test_it_runs_by_bash_in_the_notebooks_folder_and_may_leave_something_running(
    vm_fixture: VmFixture,
) -> None:
    outcome = run(
        vm_fixture,
        'set -o pipefail\necho "at $(basename "$PWD"), stage $STAGE"\necho 7 > made.txt\n(while echo tick; do sleep 0.1; done) &\necho $! > pid\n',
        "import time\nprint(open('made.txt').read())\ntime.sleep(1)\npid = int(open('pid').read())",
        "assert open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0] != 'Z'",
        env={"STAGE": "test"},
    )
    assert outcome.reason is None, outcome.log
    assert outcome.evidence["papermill"]["exit_code"] == 0
    assert outcome.text(0) == "7\n\n"
    assert "# set-up: tools/setup.sh\n| at books, stage test\n" in outcome.log
    assert processes_below(outcome.folder) == []


def test_a_program_that_it_leaves_may_write_for_ever(vm_fixture: VmFixture) -> None:
    outcome = run(vm_fixture, "yes busy &\nexit 0\n", "print('ran')", timeout=30)
    assert outcome.reason is None, outcome.log[-500:]
    assert outcome.text(0) == "ran\n"
    assert len(outcome.log) < 1_000_000


@pytest.mark.exhaustive  # the other tests have scripts of bash
def test_the_first_line_of_the_script_names_its_interpreter(vm_fixture: VmFixture) -> None:
    script = "#!/usr/bin/env python3\nimport pathlib\npathlib.Path('made.txt').write_text('by python')\n"
    outcome = run(vm_fixture, script, "print(open('made.txt').read())")
    assert outcome.text(0) == "by python\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param(
            "echo one\necho two >&2\nexit 3\n",
            "tools/setup.sh ended with exit status 3: one / two",
            id="exit status",
        ),
        pytest.param(
            "kill -9 $$\n",
            "tools/setup.sh ended with signal 9: no output",
            id="signal",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            'rm -- "$0"\necho broken\nexit 3\n',
            "tools/setup.sh ended with exit status 3: broken",
            id="a script that deletes itself",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            "#!/no/such/thing\n",
            "tools/setup.sh cannot be run, nor what its first line names: No such file or directory",
            id="missing interpreter",
            marks=pytest.mark.exhaustive,
        ),
    ],
)
def test_its_failure_is_the_notebooks(vm_fixture: VmFixture, script: str, message: str) -> None:
    outcome = run(vm_fixture, script, "open('outputs/never', 'w')")
    assert (outcome.reason, outcome.evidence["fault"]["message"]) == ("setup_failed", message)
    assert outcome.evidence["papermill"] is None
    assert "outputs/never" not in outcome.objects


def test_its_limit_ends_it_and_all_that_it_started(vm_fixture: VmFixture) -> None:
    outcome = run(vm_fixture, "echo begun\nsleep 300 &\nsleep 300\n", timeout=2)
    assert outcome.reason == "setup_timeout"
    assert outcome.evidence["fault"]["message"] == "tools/setup.sh reached its limit of 2 s"
    assert "| begun\n" in outcome.log
    assert outcome.seconds < 200  # not the 300 s of what it started
    assert processes_below(outcome.folder) == []


def test_a_build_that_is_gone_ends_it(vm_fixture: VmFixture, tmp_path: Path) -> None:
    name, runs = "ci/staging/gone/lease.json", tmp_path / "the script runs"
    script = f"touch '{runs}'\nsleep 300\n"
    with renewed_until(vm_fixture, name, runs.exists):
        outcome = vm_fixture.run(
            "1",
            files={"tools/setup.sh": script.encode()},
            job={"setup": {"path": "tools/setup.sh", "timeout": 300}},
            settings={"lease": {"object": name, "seconds": 4}},
        )
    assert outcome.reason == "lease_lost"
    assert "during the set-up script" in outcome.evidence["fault"]["message"]


def test_a_kernel_that_it_installs_for_its_user_runs_with_parameters(vm_fixture: VmFixture) -> None:
    """The kernel stands in for R's: what papermill writes for `R` is Python too."""
    script = """
folder=$HOME/.local/share/jupyter/kernels/ir
mkdir -p "$folder"
launcher=$HOME/../kit/builder/vm/runner/kernel_launcher.py
echo '{"argv": ["python3", "'$launcher'", "-f", "{connection_file}"], "display_name": "R", "language": "R"}' >"$folder/kernel.json"
"""
    spec = {
        "kernelspec": {"name": "ir", "display_name": "R", "language": "R"},
        "language_info": {"name": "R"},
    }
    book = notebook("#tags parameters\ndays = 1", "print(days)", metadata=spec)
    outcome = vm_fixture.run(
        book=book,
        files={"tools/setup.sh": script.encode()},
        job={"kernel": "ir", "setup": {"path": "tools/setup.sh", "timeout": 600}},
        parameters={"days": 7},
        own_kit=True,  # whose launcher the kernel needs
    )
    assert outcome.reason is None, outcome.log
    assert outcome.evidence["kernel"]["used"] == "ir"
    assert outcome.text(2) == "7\n"
