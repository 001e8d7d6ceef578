"""Every way in which IPython can end a cell: the failing cell, its exception's name and its message are right.

docs/false-greens.md has the same table.
"""

from __future__ import annotations

import pytest

from .notebook_runs import Book, run_once
from .vm_fixture import VmFixture

SHELL = "shell = get_ipython()\n"
GROUP = "raise ExceptionGroup('2 shards failed', [ValueError(1), ValueError(2)])"
HANDLER = (
    "def show(shell, kind, error, trace, tb_offset=None):\n    print('handled')\n"
    "get_ipython().set_custom_exc((ValueError,), show)"
)

# The cells, and reason, beginning of the message, and failed cell.
ENDS: dict[str, tuple[Book, str, str, int | None]] = {
    "raised": (
        Book(("1", "1 / 0")),
        "cell_failed",
        "cell 2 of 2 failed: ZeroDivisionError: division by zero",
        2,
    ),
    "shown": (
        Book(("try:\n    1 / 0\nexcept Exception:\n    get_ipython().showtraceback()", "1")),
        "cell_failed",
        "cell 1 of 2 failed: ZeroDivisionError: division by zero",
        1,
    ),
    "shown_by_run": (
        Book(("open('load.py', 'w').write('raise KeyError(7)')", "%run load.py", "1")),
        "cell_failed",
        "cell 2 of 3 failed: KeyError: 7",
        2,
    ),
    "shown_by_a_task": (
        Book(
            (
                (
                    "import asyncio\nasync def job():\n    await asyncio.sleep(0.1)\n    try:\n        1 / 0\n"
                    "    except Exception:\n        get_ipython().showtraceback()\ntask = asyncio.create_task(job())"
                ),
                "await task",
            )
        ),
        "cell_failed",
        "of 2 failed: ZeroDivisionError: division by zero",
        None,
    ),
    "shown_and_raised": (
        Book(("try:\n    1 / 0\nexcept Exception:\n    get_ipython().showtraceback()\n%%nothing", "1")),
        "cell_failed",
        "cell 1 of 2 failed: ",
        1,
    ),
    "usage_error": (
        Book(("1", "%%bigquery rows\nSELECT 1")),
        "cell_failed",
        "cell 2 of 2 failed: UsageError: Cell magic `%%bigquery` not found.",
        2,
    ),
    "line_magic": (
        Book(("%nothing 1", "1")),
        "cell_failed",
        "cell 1 of 2 failed: UsageError: Line magic function `%nothing` not found.",
        1,
    ),
    "group": (
        Book(("1", GROUP)),
        "cell_failed",
        "cell 2 of 2 failed: ExceptionGroup: 2 shards failed (2 sub-exceptions)",
        2,
    ),
    "group_after_another_error": (
        Book(
            (
                "#tags raises-exception\n1 / 0",
                f"try:\n    {GROUP}\nexcept* ValueError as e:\n    raise TypeError('none') from e",
            )
        ),
        "cell_failed",
        "cell 2 of 2 failed: TypeError: none",
        2,
    ),
    "handler": (
        Book((HANDLER, "raise ValueError('no rides')", "1")),
        "cell_failed",
        "cell 2 of 3 failed: ValueError: no rides",
        2,
    ),
    "hook": (
        Book((SHELL + "shell.showtraceback = lambda *a, **k: print('all is well')", "1 / 0")),
        "cell_failed",
        "cell 2 of 2 failed: ZeroDivisionError: division by zero",
        2,
    ),
    "syntax": (Book(("1", "def f(:\n    pass")), "cell_failed", "cell 2 of 2 failed: SyntaxError: ", 2),
    "broken_repr": (
        Book(("class Rides:\n    def __repr__(self):\n        raise LookupError('no rides')\nRides()", "1")),
        "cell_failed",
        "cell 1 of 2 failed: LookupError: no rides",
        1,
    ),
    "exit": (
        Book(("import sys\nsys.exit('no rides')", "1")),
        "cell_failed",
        "cell 1 of 2 failed: SystemExit: no rides",
        1,
    ),
    "exit_0": (
        Book(("import sys\nsys.exit(0)", "1")),
        "stopped_early",
        "stopped at cell 1 of 2: SystemExit: 0",
        1,
    ),
    "interrupt": (
        Book(("raise KeyboardInterrupt", "1")),
        "cell_failed",
        "cell 1 of 2 failed: KeyboardInterrupt",
        1,
    ),
    "signal": (
        Book(("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)", "1")),
        "cell_failed",
        "cell 1 of 2 failed: KeyboardInterrupt",
        1,
    ),
    "dead_kernel": (
        Book(("1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")),
        "kernel_died",
        "the kernel died in cell 2 of 2",
        2,
    ),
    "out_of_memory": (
        Book(("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",), out_of_memory=True),
        "out_of_memory",
        "the kernel died in cell 1 of 1; the machine ran out of memory",
        1,
    ),
    "client": (
        Book(
            (
                "1",
                (
                    "shell = get_ipython()\n"
                    "shell.kernel.session.send(shell.kernel.iopub_socket, 'stream', {}, parent=shell.parent_header)"
                ),
                "1",
            )
        ),
        "notebook_failed",
        "papermill failed in cell 2 of 3: KeyError: 'name'",
        2,
    ),
}


# One of each kind; `make test-all` runs the others too.
ALWAYS = {"shown", "usage_error", "group", "handler", "exit", "interrupt", "client"}


@pytest.mark.always(4)
@pytest.mark.parametrize(
    "name",
    [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.exhaustive) for name in ENDS],
)
def test_a_cell_that_ends_so(
    vm_fixture: VmFixture, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    chosen = {key: end[0] for key, end in ENDS.items() if (key in ALWAYS) == (name in ALWAYS)}
    ran = run_once(tmp_path_factory, vm_fixture, f"ends-{name in ALWAYS}", chosen)[name]
    _, reason, message, cell = ENDS[name]
    verdict = ran.verdict()
    assert verdict.reason == reason, (verdict, ran.log)
    assert message in verdict.message
    if cell is not None:
        assert verdict.failure is not None
        assert verdict.failure.cell == cell
    assert ("NB_MACHINE_TYPE" in verdict.advice) == (name == "out_of_memory")
