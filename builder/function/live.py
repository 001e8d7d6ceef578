"""What the function reads of live.json: where to submit which build, how often, and which parameters there are. Pure.

`deploy` writes the document (builder/deploy/live.py) and may be a version older or newer than this code, for the moments between
the function's update and the document's: only what is needed is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from builder.model import LIVE_SCHEMA, LIVE_TAG, JsonObject
from builder.options.message import Declared
from builder.stored_json import read_object


class LiveUnreadable(ValueError):
    """live.json is none that this version can read; the message says why."""


@dataclass(frozen=True)
class Live:
    """Where to submit `build`, a whole Cloud Build but for the event, and how often.

    `declared`: what each notebook takes; `account`: whom the build runs as, projects/P/serviceAccounts/ADDRESS;
    `tag`: what all builds of this function have.
    """

    project: str
    region: str
    declared: tuple[Declared, ...]
    builds_per_hour: int
    build: JsonObject
    account: str
    tag: str


def read_live(raw: bytes) -> Live:
    """What is live, by the document's bytes. Raises LiveUnreadable."""
    try:
        document = read_object(raw)
        if document["schema"] == LIVE_SCHEMA:
            return _live(document["live"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LiveUnreadable(f"{type(error).__name__}: {error}") from error
    raise LiveUnreadable(f"its schema is {document['schema']!r}, and {LIVE_SCHEMA} was expected")


def _live(live: JsonObject) -> Live:
    build = live["build"]
    (step,) = build["steps"]
    (tag,) = (tag for tag in build["tags"] if tag.startswith(LIVE_TAG))
    return Live(
        project=live["place"]["project"],
        region=live["place"]["region"],
        declared=tuple(
            Declared(dict(notebook["parameters"]), notebook.get("allow_secrets") is True)
            for notebook in live["notebooks"]
        ),
        builds_per_hour=int(live["builds_per_hour"]),
        build={**build, "steps": [dict(step)]},
        account=build["serviceAccount"],
        tag=tag,
    )
