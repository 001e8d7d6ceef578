"""Output that arrives late, and output that no notebook can hold: nothing is lost, and the run goes on."""

from __future__ import annotations

import pytest

from .notebook_runs import Book, Ran, run_once
from .vm_fixture import VmFixture

LATE = (
    (
        "import asyncio, threading, time\nasync def job():\n    await asyncio.sleep(0.2)\n    print('from the task')\n"
        "task = asyncio.create_task(job())"
    ),
    "await task",
    "def late():\n    time.sleep(0.2)\n    print('from the thread')\nthread = threading.Thread(target=late)\nthread.start()",
    "thread.join()",
    "async def show():\n    await asyncio.sleep(0.2)\n    display({'text/plain': 'shown late'}, raw=True)\ntask = asyncio.create_task(show())",
    "await task",
    (
        "async def clear():\n    await asyncio.sleep(0.2)\n    from IPython.display import clear_output\n    clear_output()\n"
        "    print('cleared')\nprint('gone')\ntask = asyncio.create_task(clear())"
    ),
    "await task\nprint('stays')",
    "_ = asyncio.get_running_loop().call_later(0.0, print, 'after the last cell')",
)
UNFIT = (
    "class Acme:\n    def _repr_mimebundle_(self, **_):\n        return {'application/x.acme': {'a': 1}, 'text/plain': 'acme'}\nAcme()",
    "display({'text/html': 5, 'text/plain': None, 'image/png': ['x', 1]}, raw=True)",
    "display({'text/plain': ['a', 'b']}, raw=True)",
    (
        "handle = display({'text/plain': 'x'}, raw=True, display_id='a')\n"
        "from IPython.display import update_display\nupdate_display({'application/x.acme': {'a': 2}}, raw=True, display_id='a')"
    ),
    "deep = []\nfor _ in range(300):\n    deep = [deep]\ndisplay({'application/json': deep}, raw=True)",
    "#tags raises-exception\nclass Odd(Exception):\n    def _render_traceback_(self):\n        return 'as text'\nraise Odd('x')",
    "print('half of a pair: \\ud800')",
    "print('the end')",
)
FLOOD = (
    (
        "for number in range(3000):\n    display(number)\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n"
        "    get_ipython().showtraceback()\nfor number in range(100):\n    display(number)"
    ),
)
LINES = ("for number in range(5000):\n    print(number, flush=True)",)
COMMS = (
    (
        "from comm import create_comm\ncomm = create_comm(target_name='acme', data='Washington state')\n"
        "comm.send({'state': 'running'})\ncomm.send(5)\ncomm.send(['state'])\nprint('sent')"
    ),
)


@pytest.fixture
def outputs(vm_fixture: VmFixture, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    books = {"late": LATE, "unfit": UNFIT, "flood": FLOOD, "lines": LINES, "comms": COMMS}
    return run_once(
        tmp_path_factory, vm_fixture, "outputs", {name: Book(cells) for name, cells in books.items()}
    )


def test_late_output_is_under_its_cell_and_in_the_log(outputs: dict[str, Ran]) -> None:
    ran = outputs["late"]
    assert ran.verdict().green, ran.log
    assert ran.text(0) == "from the task\n"
    assert "from the thread\n" in ran.text(2) + ran.text(3)
    assert [output.data["text/plain"] for output in ran.executed.cells[4].outputs] == ["shown late"]
    assert (ran.text(6), ran.text(7)) == ("cleared\n", "stays\n")
    assert ran.text(8) == "after the last cell\n"
    for text in ("from the task", "from the thread", "shown late", "after the last cell"):
        assert ran.log.count(f"| {text}\n") == 1


def test_an_output_that_no_notebook_can_hold_ends_nothing(outputs: dict[str, Ran]) -> None:
    ran = outputs["unfit"]
    assert ran.verdict().green, ran.log
    cells = ran.executed.cells
    assert cells[0].outputs[0].data == {"application/x.acme": '{"a": 1}', "text/plain": "acme"}
    assert cells[1].outputs[0].data == {"text/html": "5", "image/png": '["x", 1]'}
    assert cells[3].outputs[0].data == {"application/x.acme": '{"a": 2}'}
    assert cells[4].outputs[0].data["application/json"].startswith("[[[")
    assert ran.text(7) == "the end\n"
    assert "# cell 1/8: its output of type application/x.acme is kept as text" in ran.log
    assert "ValidationError" not in ran.log


def test_a_flood_of_output_loses_nothing(outputs: dict[str, Ran]) -> None:
    """ZeroMQ discards what waits, from some thousand messages on: an error among them made a false green."""
    flood = outputs["flood"]
    (cell,) = (cell for cell in flood.executed.cells if cell.cell_type == "code")
    assert len(cell.outputs) == 3101
    verdict = flood.verdict()
    assert (verdict.reason, verdict.message) == (
        "cell_failed",
        "cell 1 of 1 failed: ZeroDivisionError: division by zero",
    )
    assert outputs["lines"].verdict().green
    assert outputs["lines"].text(0).splitlines() == [str(number) for number in range(5000)]


def test_a_librarys_own_comm_ends_nothing(outputs: dict[str, Ran]) -> None:
    """nbclient takes every comm for a widget's."""
    assert outputs["comms"].verdict().green, outputs["comms"].log
    assert outputs["comms"].text(0) == "sent\n"


def test_the_reply_to_a_cell_is_seen_although_its_widget_takes_output(
    vm_fixture: VmFixture, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The client answers the widget while the reply arrives: without a second look, some of these cells never end."""
    cells = ("import ipywidgets\nwidget = ipywidgets.Output()", *["with widget:\n    print('inside')"] * 60)
    books = {"widgets": Book(cells)}
    ran = run_once(tmp_path_factory, vm_fixture, "widgets", books, image="scientific")["widgets"]
    assert ran.verdict().green, ran.log
    assert ran.log.count("| inside\n") == 60
