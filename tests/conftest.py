"""Checks every test: its id is constant, and it leaves the process's signals as it found them. Chooses samples."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Generator, Iterator
from enum import Enum
from types import BuiltinFunctionType, FunctionType

import pytest
from hypothesis import settings

from tests import needs, sampling

MAX_ID = 40

# How long one example takes depends on what else the machine does. The examples are the same each time, so that a
# change is judged by what it changes. `make soak`, which sets NB_EXAMPLES, looks for new ones.
settings.register_profile("any-machine", deadline=None, derandomize="NB_EXAMPLES" not in os.environ)
settings.load_profile("any-machine")


class UnnamedCase(pytest.Collector.CollectError):
    """A value of a parametrised test needs an explicit id."""


def names_itself(value: object) -> bool:
    """True if the id that pytest derives from the value is short, printable and the same in every process."""
    if isinstance(value, str):
        return 0 < len(value) <= MAX_ID and value.isascii() and value.isprintable()
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return value.__name__ != "<lambda>"
    return value is None or isinstance(value, int | float | Enum)


def pytest_make_parametrize_id(val: object, argname: str) -> None:
    """Refuse a value that does not name itself and has no explicit id; leave every other id to pytest.

    pytest-xdist needs the same ids from each worker. An id made from bytes, a clock or a set may differ.
    """
    if not names_itself(val):
        raise UnnamedCase(
            f"the argument {argname} has the value {val!r:.80}: give the case an id, "
            'with pytest.param(…, id="…") or ids=[…]'
        )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves out, and leave out what is not in the sample, before -m chooses by marks."""
    cases: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("always")
        if mark and item.get_closest_marker("exhaustive") is None:
            name = item.nodeid.partition("[")[0]
            cases[name] += 1
            if cases[name] > mark.args[0]:
                item.add_marker(pytest.mark.exhaustive)
    if (day := sampling.DAY) is not None:
        config.hook.pytest_deselected(items=[item for item in items if not sampling.takes(item, day)])
        items[:] = [item for item in items if sampling.takes(item, day)]


def pytest_report_header() -> str | None:
    """Say which sample runs."""
    return f"NB_SAMPLE={sampling.DAY}: one of {sampling.ONE_OF} exhaustive tests" if sampling.DAY else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a program which this machine lacks; fail if NB_MAY_LACK is set and does not list it."""
    allowed = os.environ.get("NB_MAY_LACK")
    for mark in item.iter_markers("needs"):
        if not needs.is_there(mark.args[0]):
            if allowed is not None and mark.args[0] not in allowed.split():
                need = needs.NEEDS[mark.args[0]]
                pytest.fail(f"this run needs {need.name}: {need.advice}", pytrace=False)
            pytest.skip(needs.SKIPPED + mark.args[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line which tests this machine could not run."""
    if missing := needs.count_skipped(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(needs.sentence(missing))


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None]:
    """Name the test whose case has no id; pytest itself names only the file."""
    try:
        yield
    except UnnamedCase as case:
        raise UnnamedCase(f"{metafunc.function.__name__}: {case}") from None


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """A blocked SIGINT would reach no kernel of the tests that follow in this process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    after = signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert after == before
