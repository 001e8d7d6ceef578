"""Decides if a promotion is written, given the current live.json. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from builder.deploy.live import Live, LiveDocument, Newest, Source, first
from builder.options.day import moment


@dataclass(frozen=True)
class Late:
    """Do not write: `newest` has promoted something already."""

    newest: Newest


@dataclass(frozen=True)
class Same:
    """Do not write: exactly this is live."""


@dataclass(frozen=True)
class Promote:
    """Write this document."""

    document: LiveDocument


Decision = Late | Same | Promote


def is_late(current: LiveDocument | None, source: Source) -> Late | None:
    """Return `Late` if a newer build has promoted something, else None.

    The newer build is the one that was created later.
    """
    if current is None or moment(source.created) >= moment(current.newest.created):
        return None
    return Late(current.newest)


def decide(current: LiveDocument | None, wanted: Live) -> Decision:
    """The decision about a promotion. `current` is None if nothing is live."""
    if current is None:
        return Promote(first(wanted))
    if late := is_late(current, wanted.source):
        return late
    if current.live.content() == wanted.content():
        return Same()
    return Promote(current.promoted(wanted))
