"""The builder's lease: a VM that nobody waits for ends its notebook, keeps what there is, and sees to its own end."""

from __future__ import annotations

import threading
import time

from builder.vm.runner.lease import Lease
from tests.vm.world import World, processes_below


def test_a_lease_that_nobody_renews_ends_the_notebook_and_keeps_its_results(world: World) -> None:
    outcome = world.run(
        "import pathlib\npathlib.Path('outputs/half.csv').write_text('1,2')\nprint('first')",
        "import time\ntime.sleep(300)",
        settings={"lease": {"object": "ci/staging/nobody/lease.json", "seconds": 8}},
    )
    assert outcome.seconds < 60
    assert outcome.reason == "lease_lost"
    assert "in cell 2 of 2" in outcome.evidence["fault"]["message"]
    assert outcome.text(0) == "first\n"
    assert outcome.objects["outputs/half.csv"] == b"1,2"
    assert "the builder gave no sign of life" in outcome.serial
    assert "shutdown called -h now" in outcome.serial
    assert processes_below(outcome.folder) == []


def test_a_lease_that_is_renewed_does_not_end_it(world: World) -> None:
    name = "ci/staging/alive/lease.json"
    over = threading.Event()

    def renew() -> None:
        number = 0
        while not over.wait(1.5):
            number += 1
            world.put(name, b"%d" % number)

    renewing = threading.Thread(target=renew)
    renewing.start()
    outcome = world.run("import time\ntime.sleep(12)", settings={"lease": {"object": name, "seconds": 6}})
    over.set()
    renewing.join()
    assert outcome.reason is None
    assert outcome.evidence["papermill"]["exit_code"] == 0


def test_an_object_that_cannot_be_read_renews_nothing() -> None:
    generations = iter(["1", "", "", "2"])
    seen: list[float] = []

    def generation() -> str:
        seen.append(time.monotonic())
        return next(generations, "2")

    lease = Lease(generation, 0.4)
    lease.start()
    until = time.monotonic() + 5
    while not lease.lost and time.monotonic() < until:
        time.sleep(0.01)
    assert lease.lost
    # The fourth answer was the last news.
    assert time.monotonic() - seen[3] >= 0.4
