"""What holds for every test: it leaves the process's signals as it found them, since what later tests start inherits them."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """A blocked SIGINT would reach no kernel of the tests that follow in this process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    after = signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert after == before
