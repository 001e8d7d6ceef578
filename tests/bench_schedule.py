"""Measures each step from a commit to a scheduled result: deployment, event to build, insert, and verdict."""

from __future__ import annotations

import statistics
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from localcloud.core.iam import PROJECT
from tests.bench import ROUNDS, insert_time, tell
from tests.e2e.builder_process import BUCKET, Builder, Repo, notebook, until
from tests.owner import signed

NAME = "bench"
_SCHEDULED = {
    "NB_NOTEBOOKS": "demo.ipynb",
    "NB_FUNCTION": NAME,
    "NB_SCHEDULE": "0 6 * * 1",
    "NB_SCHEDULE_PARAMETERS": '{"day": "{today}"}',
}


def schedule(builder: Builder, repo: Repo) -> None:
    """Everything after a green run, with a notebook that does nothing."""
    repo.write({"demo.ipynb": notebook(("day = ''", ["parameters"]), "print(day)")})
    options = {**_SCHEDULED, **builder.cloud.environment("notebook-deployer")}
    _done(builder.run(**options))
    first = _deployed(builder, options)
    again = statistics.median(_deployed(builder, options) for _ in range(ROUNDS))
    repo.write({"demo.ipynb": notebook(("day = ''", ["parameters"]), "print('on', day)")})
    _done(builder.run(**options))
    promotion = _deployed(builder, options)
    tell(
        "deploy: a promotion",
        promotion,
        "s",
        compared_with="deploy that changes nothing",
        baseline=round(again, 3),
    )
    tell(
        "deploy: the first time",
        first,
        "s",
        compared_with="deploy that changes nothing",
        baseline=round(again, 3),
    )
    taken = [_links(builder) for _ in range(ROUNDS)]
    for link in taken[0]:
        figures = [one[link] for one in taken]
        tell(
            f"scheduled run: {link}",
            statistics.median(figures),
            "s",
            compared_with="the whole of it",
            baseline=round(statistics.median(sum(one.values()) for one in taken), 3),
            first=round(figures[0], 3),  # of a new instance of the function
        )


def _deployed(builder: Builder, options: dict[str, str]) -> float:
    started = time.monotonic()
    _done(builder.run("deploy", **options))
    return time.monotonic() - started


def _done(finished: Any) -> None:
    assert finished.code == 0, finished.output


def _links(builder: Builder) -> dict[str, float]:
    """Seconds of each link from a message's publication to its published result."""
    known = {build["id"] for build in _builds(builder)}
    asked = time.time()
    url = f"{builder.cloud.url}/v1/projects/{PROJECT}/topics/{NAME}:publish"
    answer = requests.post(
        url, json={"messages": [{"data": "e30="}]}, headers=signed(builder.cloud.iam), timeout=10
    )
    answer.raise_for_status()

    def ended() -> Any:
        return next((one for one in _builds(builder) if one["id"] not in known and "finishTime" in one), None)

    build = until(ended, "the scheduled build")
    assert build["status"] == "SUCCESS"
    created, finished = (
        datetime.fromisoformat(build[name]).timestamp() for name in ("createTime", "finishTime")
    )
    inserted = insert_time(builder)
    home = builder.cloud.state / "storage" / BUCKET / builder.prefix
    evidence = _newest(home / "staging", "event-*/demo/attempt-1-*/evidence.json")
    result = _newest(home / "versions", "*/demo/result.json")
    return {
        "event to build": created - asked,
        "build to insert": inserted - created,
        "insert to evidence": evidence - inserted,
        "evidence to published verdict": result - evidence,
        "verdict to the build's end": finished - result,
    }


def _newest(folder: Path, pattern: str) -> float:
    return max(path.stat().st_mtime for path in folder.glob(pattern))


def _builds(builder: Builder) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = builder.cloud.inventory()["builds"]
    return [one for one in found if f"nb-live-{NAME}" in one.get("tags", ())]
