"""Failures that Jupyter lets pass.

Noticed in the kernel, logged with their cell, and red where NB_FAIL_ON lists them.
"""

from __future__ import annotations

import pytest

from .notebook_runs import Book, Ran, run_once
from .vm_fixture import VmFixture

FAIL = "async def fail():\n    raise ValueError('no rides')"
# Each cell with the kind and words of what is noticed in it.
SILENT: tuple[tuple[str, str, str], ...] = (
    ("!echo shown; false", "shell", "!echo shown; false ended with exit code 1"),
    ("lines = !echo kept; exit 3", "shell", "!echo kept; exit 3 ended with exit code 3"),
    ("%sx exit 4", "shell", "!exit 4 ended with exit code 4"),
    ("!no-such-command", "shell", "!no-such-command ended with exit code 127"),
    (
        "def inner():\n    local = 'seen'\n    get_ipython().system('echo {local}; exit 5')\ninner()",
        "shell",
        "!echo seen; exit 5 ended with exit code 5",
    ),
    (
        "import threading\ndef work():\n    raise KeyError('ride')\nt = threading.Thread(target=work, name='w')\nt.start()\nt.join()",
        "thread",
        "thread w: KeyError: 'ride'",
    ),
    ("t = threading.Timer(0.0, work)\nt.start()\nt.join()", "thread", "KeyError: 'ride'"),
    (
        f"import asyncio, gc\n{FAIL}\nkept = asyncio.create_task(fail(), name='kept')\nawait asyncio.sleep(0)",
        "thread",
        "task kept, which nothing awaits: ValueError: no rides",
    ),
    (
        "asyncio.create_task(fail())\nawait asyncio.sleep(0.1)\n_ = None\n_ = gc.collect()",
        "thread",
        "ValueError: no rides",
    ),
    (
        "_ = asyncio.get_running_loop().call_soon(lambda: 1 / 0)\nawait asyncio.sleep(0)",
        "thread",
        "ZeroDivisionError: division by zero",
    ),
    ("%load_ext bigquery_magics", "", ""),
    ("%%bigquery rows\n  \n", "bigquery", "%%bigquery: ValueError: Query is missing."),
    (
        (
            "import bigquery_magics\nfrom google.auth.credentials import AnonymousCredentials\n"
            "bigquery_magics.context.project, bigquery_magics.context.credentials = 'p', AnonymousCredentials()\n"
            "from google.cloud.bigquery.magics.magics import _cell_magic\n"
            "get_ipython().register_magic_function(_cell_magic, 'cell', 'older')"
        ),
        "",
        "",
    ),
    ("%%older --use_rest_api\n  \n", "bigquery", "%%bigquery: ValueError: Query is missing."),
    (
        "import ipywidgets\nwidget = ipywidgets.Output()\nwith widget:\n    print('inside')\n    1 / 0",
        "widget",
        "an error inside an Output widget: ZeroDivisionError: division by zero",
    ),
    (
        "@widget.capture()\ndef load():\n    raise LookupError('rides')\nload()",
        "widget",
        "an error inside an Output widget: LookupError: rides",
    ),
    (
        "def square(x):\n    raise OverflowError(x)\n_ = ipywidgets.interact(square, x=3)",
        "widget",
        "an error inside an Output widget: OverflowError: 3",
    ),
    ("%cd no/such/folder", "shell", "%cd: [Errno 2] No such file or directory: "),
    ("%pushd no/such/folder", "shell", "%cd: [Errno 2] No such file or directory: "),
    ("%%script no-such-program\nx", "shell", "%%script: Couldn't find program: 'no-such-program'"),
    ("try:\n    1 / 0\nexcept ZeroDivisionError:\n    %cd .", "", ""),
    ("task = asyncio.create_task(fail())", "", ""),
    ("try:\n    await task\nexcept ValueError:\n    pass\n!true\nprint('the end')", "", ""),
)


@pytest.fixture
def ran(vm_fixture: VmFixture, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    books = {"silent": Book(tuple(cell for cell, _, _ in SILENT))}
    return run_once(tmp_path_factory, vm_fixture, "silent", books, image="scientific")["silent"]


def test_each_is_noticed_with_its_kind_and_cell(ran: Ran) -> None:
    expected = {(number, kind, words) for number, (_, kind, words) in enumerate(SILENT, start=1) if kind}
    notices = [(one["cell"], one["kind"], one["message"]) for one in ran.end["notices"]]
    missing = [
        wanted
        for wanted in expected
        if not any(one[:2] == wanted[:2] and wanted[2] in one[2] for one in notices)
    ]
    assert missing == [], (notices, ran.log)
    assert len(notices) == len(expected), notices
    assert ran.text(len(SILENT) - 1) == "the end\n"


def test_a_kind_that_fills_its_list_hides_no_other(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run(
        "for _ in range(110):\n    !exit 3",
        "import threading\nthread = threading.Thread(target=lambda: 1 / 0)\nthread.start()\nthread.join()",
    )
    kinds = [one["kind"] for one in outcome.evidence["notices"]]
    assert (kinds.count("shell"), kinds.count("thread")) == (100, 1)
    assert outcome.log.count("no more failures of this kind are listed (shell)") == 1


def test_each_is_in_the_log_once(ran: Ran) -> None:
    for number, (_, kind, words) in enumerate(SILENT, start=1):
        if kind:
            lines = [
                line
                for line in ran.log.splitlines()
                if line.startswith(f"# cell {number}/{len(SILENT)}: Jupyter")
            ]
            assert len(lines) == 1, ran.log
            assert f"({kind}): " in lines[0]
            assert words in lines[0]
    assert "| inside\n" in ran.log


@pytest.mark.parametrize(
    ("fail_on", "cell", "words"),
    [
        pytest.param({"bigquery"}, 12, "%%bigquery: ValueError: Query is missing.", id="bigquery"),
        pytest.param({"shell", "bigquery"}, 1, "!echo shown; false ended with exit code 1", id="shell"),
        pytest.param({"thread"}, 6, "thread w: KeyError: 'ride'", id="thread"),
        pytest.param({"widget"}, 15, "ZeroDivisionError", id="widget"),
    ],
)
def test_it_is_red_where_the_option_lists_its_kind(
    ran: Ran, fail_on: set[str], cell: int, words: str
) -> None:
    verdict = ran.verdict(fail_on=tuple(fail_on))
    assert verdict.reason == "silent_failure"
    assert verdict.message.startswith(f"cell {cell} of {len(SILENT)} failed: ")
    assert words in verdict.message
    assert "NB_FAIL_ON" in verdict.advice
    assert verdict.failure is not None
    assert verdict.failure.cell == cell


def test_it_is_green_and_told_where_the_option_does_not(ran: Ran) -> None:
    verdict = ran.verdict(fail_on=())
    assert verdict.green, verdict
    assert (
        "18 failures that NB_FAIL_ON does not include, the first in cell 1 of 23: !echo shown; false"
        in verdict.message
    )
