"""Tests the conversion of a library's exception to CallFailed, without anything that only the caller may know."""

from __future__ import annotations

import pytest
import requests

from builder.gcp.failures import google_call
from builder.ports import CallFailed

SIGNED = "https://storage.googleapis.com/b/o.zip?GoogleAccessId=me&Expires=9&Signature=CANARY"
TOLD = {
    "the pool's words": (
        (
            "HTTPSConnectionPool(host='storage.googleapis.com', port=443): Max retries exceeded with url: "
            "/b/o.zip?GoogleAccessId=me&Signature=CANARY (Caused by NewConnectionError('refused'))"
        ),
        "/b/o.zip?… (Caused by NewConnectionError('refused'))",
    ),
    "a whole address": (
        f"could not connect to {SIGNED}",
        "could not connect to https://storage.googleapis.com/b/o.zip?…",
    ),
    "in quotes": (f"no answer from '{SIGNED}' yet", "'https://storage.googleapis.com/b/o.zip?…' yet"),
    "a question": ("is anybody there? no answer", "is anybody there? no answer"),
}


@pytest.mark.parametrize(("words", "told"), TOLD.values(), ids=TOLD)
def test_a_signed_url_is_shown_without_its_signature(words: str, told: str) -> None:
    with pytest.raises(CallFailed) as caught, google_call("functions.upload", "projects/p"):
        raise requests.ConnectionError(words)
    assert "CANARY" not in caught.value.message
    assert caught.value.message.endswith(told)
