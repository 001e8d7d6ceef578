"""Whether a promotion may be written, given what stands there. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from builder.deploy.live import Live, LiveDocument, Newest, Source, first
from builder.options.day import moment


@dataclass(frozen=True)
class Late:
    """A newer build has promoted something already."""

    newest: Newest


@dataclass(frozen=True)
class Same:
    """Exactly this is live."""


@dataclass(frozen=True)
class Promote:
    """Write this document."""

    document: LiveDocument


Decision = Late | Same | Promote


def is_late(standing: LiveDocument | None, source: Source) -> Late | None:
    """Whether a newer build was first: builds are told apart by when they were created, not by when they end."""
    if standing is None or moment(source.created) >= moment(standing.newest.created):
        return None
    return Late(standing.newest)


def decide(standing: LiveDocument | None, wanted: Live) -> Decision:
    """What becomes of a promotion."""
    if standing is None:
        return Promote(first(wanted))
    if late := is_late(standing, wanted.source):
        return late
    if standing.live.content() == wanted.content():
        return Same()
    return Promote(standing.promoted(wanted))
