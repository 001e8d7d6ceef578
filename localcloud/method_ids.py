"""The ids of API methods: Google's, of the APIs that localcloud serves, and its own for requests that are none of those."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

from localcloud.discovery import load

if TYPE_CHECKING:
    from collections.abc import Collection

# The discovery documents of the APIs served, in whole or in part.
APIS = (
    "compute.v1",
    "cloudfunctions.v2",
    "cloudscheduler.v1",
    "pubsub.v1",
    "cloudbuild.v1",
    "secretmanager.v1",
    "artifactregistry.v1",
    "run.v2",
    "cloudresourcemanager.v3",
    "cloudresourcemanager.v1",
    "iam.v1",
    "bigquery.v2",
    "storage.v1",
)
# Requests of a resumable upload before its last, the upload of a function's source, and a request to a function.
_OWN = (
    "storage.resumable.start",
    "storage.resumable.chunk",
    "storage.resumable.status",
    "storage.resumable.cancel",
    "cloudfunctions.upload",
    "run.services.invoke",
)


@cache
def known() -> frozenset[str]:
    """Return the ids by which calls are named, whether or not localcloud implements the method."""
    return frozenset(_OWN).union(*(load(api).methods for api in APIS))


def nearest(name: str, among: Collection[str]) -> str:
    """Return the id that is most like a name; the first by the alphabet, if several are."""
    return get_close_matches(name, sorted(among), n=1, cutoff=0.0)[0]
