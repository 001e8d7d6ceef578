"""`python -m tests.function.bench`: how fast the function starts and submits, as JSON lines, each beside something of the same minute."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

from builder.deploy.function_source import function_source
from tests.bench import seconds, tell
from tests.function.world import World, served

ROUNDS = 5
_BARE = "import functions_framework\n@functions_framework.cloud_event\ndef submit(event):\n    pass\n"
_CLIENTS = "import google.auth, requests, google.auth.transport.requests\n" + _BARE


def start(world: World) -> None:
    """From process start to the first answer, beside a function that does nothing, with and without google-auth."""
    function = world.function
    main = function.source / "main.py"
    own = main.read_text()
    kinds = {"nothing in it": _BARE, "google-auth and requests alone": _CLIENTS, "ours": own}
    rounds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(ROUNDS + 1):  # the first compiles; ours is the last and stays
        for name, text in kinds.items():
            function.stop()
            main.write_text(text)
            rounds[name].append(seconds(function.start))
    figures = {name: statistics.median(taken[1:]) for name, taken in rounds.items()}
    for name in list(kinds)[:2]:
        tell(
            "function: start to first answer",
            figures["ours"],
            "s",
            compared_with=f"a function with {name}",
            baseline=round(figures[name], 3),
        )


def submit(world: World) -> None:
    """From an event's POST to its build, created; the first finds the credentials, and a duplicate ends a call earlier."""
    first = seconds(world.deliver)
    others = [seconds(world.deliver) for _ in range(20)]
    event = world.event()
    same = [seconds(lambda: world.function.request("POST", event[1], event[0])) for _ in range(21)][1:]
    assert len(world.builds()) == 22
    tell(
        "function: event to build created",
        statistics.median(others),
        "s",
        compared_with="a duplicate",
        baseline=round(statistics.median(same), 3),
        slowest=round(max(others), 3),
        first_of_an_instance=round(first, 3),
    )


def main() -> None:
    """Measure everything."""
    packing = [seconds(function_source) for _ in range(ROUNDS)]
    tell("function: source archive", len(function_source().zip) / 1e6, "MB", seconds=round(min(packing), 4))
    folder = Path(tempfile.mkdtemp(prefix="notebook-builder-bench-"))
    try:
        with served(folder) as world:
            world.begin()
            start(world)
            submit(world)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
