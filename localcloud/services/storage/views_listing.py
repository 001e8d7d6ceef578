"""The part of a bucket that a listing shows: prefix, delimiter, offsets and pages. Pure.

Names are in the order of their code points, which is that of their UTF-8 bytes, as on Google.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.core.errors import invalid
from localcloud.core.service import Json
from localcloud.services.storage.rules import whole_number

_PAGE = 1000


@dataclass(frozen=True)
class Query:
    """The parameters of a listing."""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    after: str = ""
    limit: int = _PAGE

    @classmethod
    def of(cls, params: Mapping[str, str]) -> Query:
        """Return the query in a request's parameters; raises Google's 400."""
        limit = whole_number(params, "maxResults")
        return cls(
            prefix=params.get("prefix", ""),
            delimiter=params.get("delimiter", ""),
            start=params.get("startOffset", ""),
            end=params.get("endOffset", ""),
            after=_last_of(params.get("pageToken", "")),
            limit=min(limit or _PAGE, _PAGE),
        )

    def matches(self, name: str) -> bool:
        """True if the name has the prefix and is within the offsets."""
        return name.startswith(self.prefix) and name >= self.start and (not self.end or name < self.end)

    def common_prefix(self, name: str) -> str | None:
        """Return the prefix that replaces a name in the list; None if the list shows the name itself."""
        if not self.delimiter:
            return None
        cut = name.find(self.delimiter, len(self.prefix))
        return None if cut < 0 else name[: cut + len(self.delimiter)]


@dataclass(frozen=True)
class Page:
    """One page of a listing. The token is None on the last page."""

    names: tuple[str, ...]
    prefixes: tuple[str, ...]
    token: str | None


def select(names: Iterable[str], query: Query) -> Page:
    """Return the page that the query asks for."""
    shown: dict[str, bool] = {}
    for name in names:
        if query.matches(name):
            prefix = query.common_prefix(name)
            shown[prefix or name] = prefix is not None
    ordered = sorted(text for text in shown if text > query.after)
    page = ordered[: query.limit]
    return Page(
        names=tuple(text for text in page if not shown[text]),
        prefixes=tuple(text for text in page if shown[text]),
        token=_token(page[-1]) if len(page) < len(ordered) else None,
    )


def answer(kind: str, token: str | None, **lists: list[Any]) -> Json:
    """Return the answer to a list call. Google leaves empty lists out."""
    full = {"kind": kind, "nextPageToken": token, **lists}
    return {key: value for key, value in full.items() if value}


def _token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _last_of(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise invalid("Invalid value for pageToken.") from None
