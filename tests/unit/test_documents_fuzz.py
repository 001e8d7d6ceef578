"""Any notebook, message, heartbeat and evidence is accepted, or refused in printable words; none raises another error.

More examples than here: `NB_EXAMPLES=10000 make test T=tests/unit/test_documents_fuzz.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import example, given
from hypothesis import strategies as st

from builder.errors import ExitCode
from builder.judge.verdict import judge
from builder.model import Notebook
from builder.options.message import MessageRefused, read_message
from builder.plan.notebooks import read_notebook
from builder.vm.codec import ProtocolError
from builder.vm.protocol import Evidence, KernelChoice, LogFacts, decode_heartbeat
from tests.fuzzing import FUZZ
from tests.unit.good_attempt import (
    Json,
    evidence_json,
    executed_json,
    expected_of,
    input_json,
    listing_of,
    read,
)
from tests.unit.test_verdict_mutations import ODD, leaves, mutated

HEARTBEAT = {
    "schema": 1,
    "nonce_sha256": "a" * 64,
    "attempt": 1,
    "counter": 3,
    "phase": "notebook",
    "cell": 1,
    "cells": 4,
    "log_chunks": 2,
}
KIT_REQUEST = {"schema": 1, "nonce_sha256": "a" * 64, "attempt": 1, "phase": "kit", "kit": "cp313"}
MESSAGE = {
    "today": "2026-07-01",
    "parameters": {"days": 7, "a": {"b": [1, 2.5, None]}, "c": "x"},
    "publish": True,
}
NOTEBOOK = read(input_json())
EXECUTED = json.dumps(executed_json()).encode()
EVIDENCE = evidence_json(NOTEBOOK, len(EXECUTED))
# Changes that leave readable evidence, as of another run or of a run that failed: most odd values make none.
PLAUSIBLE: Mapping[tuple[str | int, ...], Any] = {
    ("run",): "run-2",
    ("job",): "rides-other",
    ("attempt",): 2,
    ("nonce",): "0ther",
    ("inputs", "job", "generation"): "12",
    ("inputs", "workspace", "generation"): "11",
    ("inputs", "parameters", "sha256"): "a" * 64,
    ("papermill", "exit_code"): 1,
    ("fault",): {"reason": "out_of_memory", "message": "killed", "cell": 2},
    ("executed_notebook",): "demo-clean.html",
    ("objects", 3, "size"): 121,
    ("objects", 4, "crc32c"): "AAAAAQ==",
    ("skipped",): [{"path": "outputs/a b", "why": "its name is not plain"}],
    ("secrets",): [],
    ("secrets", 0, "version"): None,
    ("secrets", 0, "problem"): "no access",
}
# What the evidence says beyond its proofs, with the value that the comparison takes for each. Reports and advice show
# it: how long the parts took and how much memory, disk and log they used, on which Python and kernel.
DECIDES_NOTHING: Mapping[str, Any] = {
    "python": None,
    "kernel": KernelChoice(None, None),
    "timings": {},
    "peak_memory_bytes": None,
    "disk_free_bytes": None,
    "log": LogFacts(0, 0, 0),
}
# The page without code: NB_EXPECT does not name it, and it is no output of the notebook, so it may be missing.
SPARE_PAGE = next(
    item for item in Evidence.decode(json.dumps(EVIDENCE).encode()).objects if item.name == "demo-clean.html"
)
RED = {ExitCode.NOTEBOOK_FAILED, ExitCode.PROJECT_SETUP, ExitCode.TIME_LIMIT, ExitCode.ENVIRONMENT_FAILED}
T = TypeVar("T")


def documents(
    good: Json, plausible: Mapping[tuple[str | int, ...], Any] | None = None
) -> st.SearchStrategy[bytes]:
    """The good document with up to four places changed or removed, or with damaged bytes; or any text.

    `plausible`: more values, by their places.
    """
    change = st.tuples(st.sampled_from(list(leaves(good))), st.one_of(ODD, st.just(...)))
    if plausible:
        change = st.one_of(change, st.sampled_from(list(plausible.items())))
    changes = st.lists(change, max_size=4)
    changed = changes.map(lambda those: json.dumps(_changed(good, those)).encode())
    whole = json.dumps(good).encode()
    damaged = st.tuples(st.integers(0, len(whole)), st.binary(max_size=4), st.integers(0, 40)).map(
        lambda drawn: whole[: drawn[0]] + drawn[1] + whole[drawn[0] + drawn[2] :]
    )
    return st.one_of(changed, changed, damaged, st.text().map(lambda text: text.encode(errors="replace")))


def _changed(good: Json, changes: list[tuple[tuple[str | int, ...], Any]]) -> Json:
    found = good
    for path, value in changes:
        try:
            found = mutated(found, path, value)
        except (LookupError, TypeError):  # an earlier change removed this place
            continue
    return found


@FUZZ
@given(documents(input_json()))
@example(b"[" * 60_000)
@example(b'{"cells":' * 30_000)
@example(b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": []}]}')
def test_any_notebook_is_read_or_refused_by_name(content: bytes) -> None:
    found = read_notebook("folder/demo.ipynb", content)
    if not isinstance(found, Notebook):
        assert found
        assert all(problem.variable == "folder/demo.ipynb" and problem.expected for problem in found)
        assert all(str(problem).isprintable() for problem in found), found


@FUZZ
@given(documents(MESSAGE))
@example(b"[" * 3000)
@example(b'{"parameters": ' * 200)
@example(b'{"parameters": {"a": 1e999}}')
@example(b'{"parameters": {"a": "\\ud800"}}')
def test_any_message_is_read_or_refused(content: bytes) -> None:
    found, refusal = result(lambda: read_message(content.decode(errors="replace")), MessageRefused)
    if found is None:
        assert refusal
        assert refusal.isprintable()
    else:
        json.dumps(found.parameters, allow_nan=False).encode()


@FUZZ
@given(documents(HEARTBEAT) | documents(KIT_REQUEST))
@example(b"[" * 60_000)
def test_any_heartbeat_is_read_or_refused(content: bytes) -> None:
    found, refusal = result(lambda: decode_heartbeat(content), ProtocolError)
    assert found is not None or refusal.startswith("heartbeat.json")


@FUZZ
@given(documents(EVIDENCE, PLAUSIBLE))
@example(json.dumps(EVIDENCE).encode())
@example(b"[" * 60_000)
def test_any_evidence_has_a_verdict_and_green_is_the_good_ones_only(content: bytes) -> None:
    evidence, refusal = result(lambda: Evidence.decode(content), ProtocolError)
    if evidence is None:
        assert refusal.startswith("evidence.json")
        return
    verdict = judge(expected_of(NOTEBOOK, {"days": 7}), evidence, EXECUTED, listing_of(EVIDENCE))
    assert verdict.message.isprintable()
    good = Evidence.decode(json.dumps(EVIDENCE).encode())
    if decisive(evidence) == decisive(good):
        assert verdict.green, verdict
    else:
        assert verdict.exit_code in RED, verdict


def decisive(evidence: Evidence) -> Evidence:
    """The evidence without what decides nothing."""
    end = evidence.papermill and replace(evidence.papermill, seconds=0.0)
    return replace(
        evidence,
        **DECIDES_NOTHING,
        papermill=end,
        objects=tuple(item for item in evidence.objects if item != SPARE_PAGE),
        # How often a value was redacted says that the notebook printed it, which is no fault.
        secrets=tuple(replace(secret, redactions=0) for secret in evidence.secrets),
    )


def result(read: Callable[[], T], refused: type[Exception]) -> tuple[T | None, str]:
    """Return the value of `read`, or the text of its refusal."""
    try:
        return read(), ""
    except refused as refusal:
        return None, str(refusal)
