"""Renews a lease as a builder does, until a condition holds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.vm.vm_fixture import VmFixture

INTERVAL = 0.5


@contextmanager
def renewed_until(vm_fixture: VmFixture, name: str, condition: Callable[[], bool]) -> Iterator[None]:
    """Renew the lease in the object `name` until the condition holds, or until the `with` block ends."""
    over = threading.Event()

    def renew() -> None:
        number = 0
        while not condition() and not over.wait(INTERVAL):
            number += 1
            vm_fixture.put(name, b"%d" % number)

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()
