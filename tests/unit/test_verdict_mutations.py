"""Any one mutation of a good attempt is red, unless it changes nothing that the verdict stands on."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from builder.judge.verdict import judge
from builder.plan.notebooks import joined
from builder.vm.codec import ProtocolError
from builder.vm.protocol import Evidence
from tests.unit.good_attempt import (
    Json,
    altered,
    evidence_json,
    executed_json,
    expected_of,
    input_json,
    listing_of,
    read,
)

Path = tuple[str | int, ...]

NOTEBOOK = read(input_json())
EXECUTED = executed_json()
EXECUTED_BYTES = json.dumps(EXECUTED).encode()
EXPECTED = expected_of(NOTEBOOK, {"days": 7})
EVIDENCE = evidence_json(NOTEBOOK, len(EXECUTED_BYTES))
LISTING = listing_of(EVIDENCE)
MAY_RAISE = 4  # among the code cells

# What the verdict may ignore. Everything else, mutated in any way, must turn it red.
EVIDENCE_NEUTRAL = {"python", "kernel", "timings", "peak_memory_bytes", "disk_free_bytes", "log"}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**30, -1, 0.5, "", "x", "0", [], {}, [1], {"a": 1}, "\ud800", "a" * 64]),
)


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a JSON value, the root apart."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from leaves(item, (*path, key))


def mutated(document: Json, path: Path, value: Any) -> Json:
    """The document with one place changed; with `...` that place is removed."""
    changed = copy.deepcopy(document)
    holder: Any = changed
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return changed


def evidence_is_neutral(path: Path, changed: Json) -> bool:
    page_less = (
        path == ("objects", 2) and len(changed["objects"]) == 4
    )  # the page without code; nobody asked for it
    counted = path[0] == "secrets" and path[-1] == "redactions"
    return path[0] in EVIDENCE_NEUTRAL or path == ("papermill", "seconds") or page_less or counted


def essence(document: Json) -> Any:
    """All that the verdict stands on in an executed notebook; two with the same essence deserve the same verdict."""
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in cells]
    rank = {
        count: number for number, count in enumerate(sorted(count for count in counts if count is not None))
    }
    top = document["metadata"].get("papermill") or {}
    parameters = top.get("parameters") if isinstance(top, dict) else None
    return [
        document["nbformat"],
        {"days": 7} if parameters is None else parameters,
        *(essence_of_cell(number, cell, rank) for number, cell in enumerate(cells)),
    ]


def essence_of_cell(number: int, cell: Json, rank: dict[int, int]) -> Any:
    injected = "injected-parameters" in cell["metadata"].get("tags", ())
    errors = [output for output in cell["outputs"] if output["output_type"] == "error"]
    count = cell["execution_count"]
    papermill = cell["metadata"].get("papermill") or {"exception": False, "status": "completed"}
    return [
        injected or joined(cell["source"]),
        None if count is None else (type(count), count > 0, rank[count]),
        bool(errors) and number != MAY_RAISE,
        count is None and bool(cell["outputs"]),
        count is None or (papermill["exception"], papermill["status"]),
    ]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(leaves(EVIDENCE))), st.one_of(ODD, st.just(...)))
def test_mutated_evidence(path: Path, value: Any) -> None:
    changed = mutated(EVIDENCE, path, value)
    if json.dumps(changed) == json.dumps(EVIDENCE):
        return
    try:
        evidence = Evidence.decode(json.dumps(changed).encode())
    except ProtocolError:
        return
    verdict = judge(EXPECTED, evidence, EXECUTED_BYTES, LISTING)
    assert not verdict.green or evidence_is_neutral(path, changed), verdict


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(leaves(EXECUTED))), st.one_of(ODD, st.just(...)))
def test_mutated_executed_notebook(path: Path, value: Any) -> None:
    changed = mutated(EXECUTED, path, value)
    if json.dumps(changed) == json.dumps(EXECUTED):
        return
    executed = json.dumps(changed).encode()
    evidence = Evidence.decode(json.dumps(evidence_json(NOTEBOOK, len(executed))).encode())
    listing = listing_of(evidence_json(NOTEBOOK, len(executed)))
    verdict = judge(EXPECTED, evidence, executed, listing)
    assert not verdict.green or essence(changed) == essence(EXECUTED), verdict


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([item["name"] for item in EVIDENCE["objects"]]),
    st.one_of(
        st.none(),
        st.fixed_dictionaries({"size": st.integers(0, 6000)}),
        st.fixed_dictionaries({"crc32c": st.sampled_from(["", "AAAAAQ==", "AAAAAA="])}),
        st.fixed_dictionaries({"generation": st.integers(99, 105)}),
    ),
)
def test_mutated_listing(name: str, change: dict[str, Any] | None) -> None:
    """An object is gone, or one of its fields alone is another."""
    listing = dict(LISTING)
    if change is None:
        del listing[name]
    else:
        altered(listing, name, **change)
        assume(listing != LISTING)
    verdict = judge(EXPECTED, Evidence.decode(json.dumps(EVIDENCE).encode()), EXECUTED_BYTES, listing)
    assert not verdict.green


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(EXECUTED_BYTES) - 1), st.binary(min_size=1, max_size=4))
def test_damaged_bytes_never_raise(at: int, junk: bytes) -> None:
    damaged = EXECUTED_BYTES[:at] + junk + EXECUTED_BYTES[at + len(junk) :]
    evidence = Evidence.decode(json.dumps(evidence_json(NOTEBOOK, len(damaged))).encode())
    listing = listing_of(evidence_json(NOTEBOOK, len(damaged)))
    assert judge(EXPECTED, evidence, damaged, listing).message
