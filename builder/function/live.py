"""The part of live.json that the function reads: the build, where and how often to submit it, and the parameters.

Pure.

`deploy` writes the document (builder/deploy/live.py). Between its updates of the function and of the document, their
versions may differ, so this module reads only what the function needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from builder.model import LIVE_SCHEMA, LIVE_TAG, JsonObject
from builder.options.message import AcceptedParameters
from builder.strict_json import UnreadableJson, read_document


class LiveUnreadable(ValueError):
    """live.json that this version cannot read; the message says why."""


@dataclass(frozen=True)
class Live:
    """The build to submit, complete except for the event, and the limits for it.

    `declared`: the parameters of each notebook; `account`: the build's account, projects/P/serviceAccounts/ADDRESS;
    `tag`: the tag of all builds of this function.
    """

    project: str
    region: str
    declared: tuple[AcceptedParameters, ...]
    builds_per_hour: int
    build: JsonObject
    account: str
    tag: str


def read_live(raw: bytes) -> Live:
    """Read the document. Raises LiveUnreadable."""
    try:
        return _live(read_document(raw, LIVE_SCHEMA)["live"])
    except UnreadableJson as error:
        raise LiveUnreadable(str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LiveUnreadable(f"{type(error).__name__}: {error}") from error


def _live(live: JsonObject) -> Live:
    build = live["build"]
    (step,) = build["steps"]
    (tag,) = (tag for tag in build["tags"] if tag.startswith(LIVE_TAG))
    return Live(
        project=live["location"]["project"],
        region=live["location"]["region"],
        declared=tuple(
            AcceptedParameters(dict(notebook["parameters"]), notebook.get("allow_secrets") is True)
            for notebook in live["notebooks"]
        ),
        builds_per_hour=int(live["builds_per_hour"]),
        build={**build, "steps": [dict(step)]},
        account=build["serviceAccount"],
        tag=tag,
    )
