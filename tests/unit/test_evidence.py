"""evidence.json is taken as agreed or not at all, and the refusal names the field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builder.vm.codec import ProtocolError
from builder.vm.protocol import Evidence, FaultReport, Packages, StoredObject
from tests.unit.good_attempt import Json, evidence_json, input_json, read

GOOD = json.dumps(evidence_json(read(input_json()), 700))


def changed(*keys: str | int, value: Any) -> bytes:
    data: Any = json.loads(GOOD)
    holder = data
    for key in keys[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[keys[-1]]
    else:
        holder[keys[-1]] = value
    return json.dumps(data).encode()


def test_the_agreed_form() -> None:
    evidence = Evidence.decode(GOOD.encode())
    assert (evidence.run, evidence.attempt) == ("run-1", 1)
    assert evidence.inputs.workspace is not None
    assert evidence.inputs.workspace.generation == 12
    assert evidence.objects[0] == StoredObject("demo.ipynb", 700, "AAAAAA==", 100)
    assert evidence.timings == {"boot": 1.0, "notebook": 3.2}


def test_packages_are_two_lists_of_texts() -> None:
    told = {"image": ["numpy==2.2.6"], "overlay": ["alpha==1.0"]}
    assert Evidence.decode(changed("packages", value=told)).packages == Packages(
        ("numpy==2.2.6",), ("alpha==1.0",)
    )
    assert Evidence.decode(GOOD.encode()).packages is None
    assert Evidence.decode(changed("packages", value=None)).packages is None
    wrong: Any
    for wrong in ([], {"image": []}, {**told, "overlay": "alpha"}, {**told, "image": [1]}):
        with pytest.raises(ProtocolError, match="packages"):
            Evidence.decode(changed("packages", value=wrong))


def test_more_than_was_agreed_is_ignored() -> None:
    assert Evidence.decode(changed("weather", value="fine")).run == "run-1"


def test_a_vm_in_trouble_may_not_know_everything() -> None:
    data: Json = json.loads(GOOD)
    data["inputs"] = {"job": None}
    data["fault"] = {"reason": "workspace", "message": "404", "cell": None}
    data |= dict.fromkeys(
        ["papermill", "python", "executed_notebook", "peak_memory_bytes", "disk_free_bytes"]
    )
    data["kernel"] = {"requested": None, "used": None}
    evidence = Evidence.decode(json.dumps(data).encode())
    assert evidence.fault == FaultReport("workspace", "404", None)
    assert evidence.inputs.job is None
    assert evidence.papermill is None


@pytest.mark.parametrize("key", json.loads(GOOD))
def test_every_field_is_needed(key: str) -> None:
    with pytest.raises(ProtocolError, match=rf"evidence\.json: (its )?{key}\b.*(nothing|None)"):
        Evidence.decode(changed(key, value=...))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        pytest.param(("schema",), 2, id="other schema"),
        pytest.param(("run",), None, id="no run"),
        pytest.param(("attempt",), True, id="boolean attempt"),
        pytest.param(("attempt",), 1.0, id="fractional attempt"),
        pytest.param(("attempt",), -1, id="negative attempt"),
        pytest.param(("inputs", "job", "sha256"), "A" * 64, id="hash in upper case"),
        pytest.param(("inputs", "job", "generation"), 11, id="generation as a number"),
        pytest.param(("inputs", "job", "generation"), "1" * 20, id="generation too long"),
        pytest.param(("inputs", "job", "generation"), "\u0661", id="generation in other digits"),
        pytest.param(("inputs", "notebook", "sha256"), None, id="no hash of the notebook"),
        pytest.param(("papermill", "exit_code"), False, id="boolean exit code"),
        pytest.param(("papermill", "exit_code"), "0", id="exit code as text"),
        pytest.param(("papermill", "seconds"), -0.1, id="negative seconds"),
        pytest.param(("papermill", "seconds"), 10**400, id="seconds without end"),
        pytest.param(("papermill", "seconds"), True, id="boolean seconds"),
        pytest.param(("fault",), "none", id="unknown fault"),
        pytest.param(("objects", 0, "name"), "../demo.ipynb", id="name that leads up"),
        pytest.param(("objects", 0, "name"), "/demo.ipynb", id="absolute name"),
        pytest.param(("objects", 0, "name"), "outputs//a", id="name with two slashes"),
        pytest.param(("objects", 0, "crc32c"), "AAAA", id="checksum without padding"),
        pytest.param(("objects", 0, "crc32c"), "not base64", id="checksum that is no base64"),
        pytest.param(("objects", 0, "crc32c"), "ä", id="checksum that is not ASCII"),
        pytest.param(("objects", 1, "name"), "demo.ipynb", id="name given twice"),
        pytest.param(("objects", 0), 3, id="object that is a number"),
        pytest.param(("objects",), {}, id="objects as a mapping"),
        pytest.param(("timings", "boot"), "1", id="timing as text"),
        pytest.param(("log", "chunks"), None, id="no chunks"),
    ],
)
def test_a_wrong_field_is_named(keys: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises(ProtocolError) as caught:
        Evidence.decode(changed(*keys, value=value))
    assert str(keys[0]) in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="half of an object"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"[" * 10**5, id="nested without end"),
        pytest.param(b"1" * 5000, id="number without end"),
        pytest.param(GOOD.replace('"schema": 1', '"schema": 1, "schema": 1').encode(), id="key given twice"),
        pytest.param(GOOD.replace("3.2", "NaN").encode(), id="NaN"),
        pytest.param(GOOD.replace("3.2", "Infinity").encode(), id="infinity"),
        pytest.param(b" " * (Evidence.MAX_BYTES + 1), id="too long"),
    ],
)
def test_evidence_that_is_not_plain_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"^evidence\.json: "):
        Evidence.decode(raw)
