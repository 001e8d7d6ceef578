"""Listings: order, prefixes, offsets, pages, and partial answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from localcloud.core.errors import ApiError
from localcloud.core.fields import partial
from localcloud.services.storage.views_listing import Query, select

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from tests.localcloud.storage.conftest import Site

NAMES = ["a", "a.txt", "a/1", "a/2", "a/b/3", "b/1", "Z", "é", "\U0001f600", "\uff21"]


def test_order_is_that_of_utf8_bytes() -> None:
    assert select(NAMES, Query()).names == tuple(sorted(NAMES, key=str.encode))


def test_delimiter() -> None:
    page = select(NAMES, Query(delimiter="/"))
    assert page.prefixes == ("a/", "b/")
    assert set(page.names) == {"a", "a.txt", "Z", "é", "\U0001f600", "\uff21"}
    assert select(NAMES, Query(prefix="a/", delimiter="/")).prefixes == ("a/b/",)
    page = select(["d/", "d/x", "e"], Query(delimiter="/"))
    assert (page.names, page.prefixes) == (("e",), ("d/",))


def test_offsets() -> None:
    assert select(["a", "b", "c", "d"], Query(start="b", end="d")).names == ("b", "c")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("delimiter", ["", "/"], ids=["no delimiter", "slash"])
def test_pages_together_are_the_whole(limit: int, delimiter: str) -> None:
    whole = select(NAMES, Query(delimiter=delimiter))
    names: list[str] = []
    prefixes: list[str] = []
    params = {"maxResults": str(limit), "delimiter": delimiter}
    for _ in range(20):
        page = select(NAMES, Query.of(params))
        names += page.names
        prefixes += page.prefixes
        if page.token is None:
            break
        params["pageToken"] = page.token
    assert (tuple(names), tuple(prefixes)) == (whole.names, whole.prefixes)


@pytest.mark.parametrize(
    "params",
    [{"maxResults": "-1"}, {"maxResults": "x"}, {"pageToken": "%%%"}],
    ids=["negative size", "size that is no number", "bad token"],
)
def test_bad_parameters(params: dict[str, str]) -> None:
    with pytest.raises(ApiError):
        Query.of(params)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        pytest.param("a", {"a": {"b": 1, "c": [{"d": 2, "e": 3}]}}, id="whole field"),
        pytest.param("a/b", {"a": {"b": 1}}, id="path"),
        pytest.param("a(b,c/d)", {"a": {"b": 1, "c": [{"d": 2}]}}, id="selection in a field"),
        pytest.param("*/b", {"a": {"b": 1}}, id="star"),
        pytest.param("nothing", {}, id="unknown field"),
        pytest.param(None, {"a": {"b": 1, "c": [{"d": 2, "e": 3}]}}, id="no selection"),
    ],
)
def test_fields(fields: str | None, kept: object) -> None:
    assert partial({"a": {"b": 1, "c": [{"d": 2, "e": 3}]}}, fields) == kept


@pytest.mark.parametrize(
    "fields", ["a(", "a)", ",", "a(b", "a//b", "()", pytest.param("a/" * 2000 + "a", id="deep")]
)
def test_fields_that_cannot_be_read(fields: str) -> None:
    with pytest.raises(ApiError, match="Invalid field selection"):
        partial({}, fields)


def test_through_the_client(bucket: Bucket) -> None:
    for name in ("x/1", "x/2", "x/3/4", "y"):
        bucket.blob(name).upload_from_string(name)
    assert [blob.name for blob in bucket.list_blobs(prefix="x/", page_size=1)] == ["x/1", "x/2", "x/3/4"]
    listing = bucket.list_blobs(delimiter="/")
    assert [blob.name for blob in listing] == ["y"]
    assert listing.prefixes == {"x/"}
    assert [blob.name for blob in bucket.list_blobs(max_results=2)] == ["x/1", "x/2"]
    assert [blob.name for blob in bucket.list_blobs(start_offset="x/2", end_offset="y")] == ["x/2", "x/3/4"]
    partly = next(iter(bucket.list_blobs(fields="items(name,size),nextPageToken")))
    assert (partly.size, partly.crc32c) == (3, None)


def test_inventory_is_everything(site: Site, bucket: Bucket) -> None:
    bucket.blob("a/ü").upload_from_string("123")
    assert {"bucket": bucket.name, "name": "a/ü", "size": 3} in site.service.inventory()["storage.objects"]
