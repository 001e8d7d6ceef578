"""The pages' process.

Warm when the notebook ends, spared by the clean-up, and replaced where a notebook has ended it.
"""

from __future__ import annotations

import pytest

from .vm_fixture import VmFixture

FIND = """
import os, pathlib, signal, time
def converters():
    found = []
    for entry in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            words = (entry / 'cmdline').read_bytes().split(b'\\0')
        except OSError:
            continue
        if words[-2:] == [b'html', b''] and own in words[-3].decode():
            found.append(int(entry.name))
    return found
own = str(pathlib.Path.cwd()).partition('/work/')[0]
deadline = time.monotonic() + 300
while not converters() and time.monotonic() < deadline:
    time.sleep(0.05)
print('converters', len(converters()))
"""


@pytest.mark.exhaustive
def test_it_is_there_while_the_notebook_runs(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run(FIND, own_kit=True)
    assert "converters 1" in outcome.log
    assert {"demo.html", "demo-clean.html"} <= outcome.objects.keys()
    assert "left running" not in outcome.log


@pytest.mark.exhaustive  # the test above has the process
def test_a_notebook_that_ends_it_has_its_pages_all_the_same(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run(
        FIND + "for pid in converters():\n    os.kill(pid, signal.SIGKILL)\ntime.sleep(0.2)\n",
        own_kit=True,
    )
    assert "converters 1" in outcome.log
    assert {"demo.html", "demo-clean.html"} <= outcome.objects.keys()
    assert b"converters 1" in outcome.objects["demo-clean.html"]
