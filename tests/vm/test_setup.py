"""The set-up script on a VM: before the notebook, in its folder, with a limit of its own; its failure is the notebook's."""

from __future__ import annotations

from typing import Any

import pytest

from .world import Outcome, World, processes_below


def run(world: World, script: str, *cells: str, timeout: float = 60, **job: Any) -> Outcome:
    wanted = {"setup": {"path": "tools/setup.sh", "timeout": timeout}, **job}
    return world.run(*cells or ("1",), files={"tools/setup.sh": script.encode()}, job=wanted)


def test_it_runs_by_bash_in_the_notebooks_folder_and_may_leave_something_running(world: World) -> None:
    outcome = run(
        world,
        'set -o pipefail\necho "at $(basename "$PWD"), stage $STAGE"\necho 7 > made.txt\n(while echo tick; do sleep 0.1; done) &\necho $! > pid\n',
        "import time\nprint(open('made.txt').read())\ntime.sleep(1)\npid = int(open('pid').read())",
        "assert open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0] != 'Z'",
        env={"STAGE": "test"},
    )
    assert outcome.reason is None, outcome.log
    assert outcome.evidence["papermill"]["exit_code"] == 0
    assert outcome.text(0) == "7\n\n"
    assert "# set-up: tools/setup.sh\n| at books, stage test\n" in outcome.log
    assert outcome.evidence["timings"]["setup"] < 30
    assert processes_below(outcome.folder) == []


def test_its_first_line_says_what_runs_it(world: World) -> None:
    script = "#!/usr/bin/env python3\nimport pathlib\npathlib.Path('made.txt').write_text('by python')\n"
    outcome = run(world, script, "print(open('made.txt').read())")
    assert outcome.text(0) == "by python\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param(
            "echo one\necho two >&2\nexit 3\n",
            "tools/setup.sh ended with exit status 3: one / two",
            id="exit status",
        ),
        pytest.param("kill -9 $$\n", "tools/setup.sh ended with signal 9: no word", id="signal"),
        pytest.param(
            "#!/no/such/thing\n",
            "tools/setup.sh cannot be run, nor what its first line names: No such file or directory",
            id="missing interpreter",
        ),
    ],
)
def test_its_failure_is_the_notebooks(world: World, script: str, message: str) -> None:
    outcome = run(world, script, "open('outputs/never', 'w')")
    assert (outcome.reason, outcome.evidence["fault"]["message"]) == ("setup_failed", message)
    assert outcome.evidence["papermill"] is None
    assert "outputs/never" not in outcome.objects


def test_its_limit_ends_it_and_all_that_it_started(world: World) -> None:
    outcome = run(world, "echo begun\nsleep 300 &\nsleep 300\n", timeout=2)
    assert outcome.reason == "setup_timeout"
    assert outcome.evidence["fault"]["message"] == "tools/setup.sh reached its limit of 2 s"
    assert "| begun\n" in outcome.log
    assert outcome.seconds < 40
    assert processes_below(outcome.folder) == []


def test_a_build_that_is_gone_ends_it(world: World) -> None:
    script = "sleep 300\n"
    outcome = world.run(
        "1",
        files={"tools/setup.sh": script.encode()},
        job={"setup": {"path": "tools/setup.sh", "timeout": 300}},
        settings={"lease": {"object": "ci/staging/nobody/lease.json", "seconds": 6}},
    )
    assert outcome.reason == "lease_lost"
    assert "during the set-up script" in outcome.evidence["fault"]["message"]
