"""`python -m tests.function.bench` measures how fast the function starts and submits, as JSON lines with a baseline."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

from builder.deploy.function_source import function_source
from tests.bench import ROUNDS, seconds, tell
from tests.function.function_fixture import FunctionFixture, serve_function

_BARE = "import functions_framework\n@functions_framework.cloud_event\ndef submit(event):\n    pass\n"
_CLIENTS = "import google.auth, requests, google.auth.transport.requests\n" + _BARE


def start(function_fixture: FunctionFixture) -> None:
    """Measure the time from process start to first answer, beside empty functions with and without google-auth."""
    function = function_fixture.function
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


def submit(function_fixture: FunctionFixture) -> None:
    """Measure the time from an event's POST to its build.

    The first event loads the credentials; a duplicate saves a call.
    """
    first = seconds(function_fixture.deliver)
    others = [seconds(function_fixture.deliver) for _ in range(20)]
    event = function_fixture.event()
    same = [
        seconds(lambda: function_fixture.function.request("POST", event[1], event[0])) for _ in range(21)
    ][1:]
    assert len(function_fixture.builds()) == 22
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
        with serve_function(folder) as function_fixture:
            function_fixture.begin()
            start(function_fixture)
            submit(function_fixture)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
