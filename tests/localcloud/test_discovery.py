"""Google's discovery documents: the method of a request, and the check of requests and answers."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from localcloud.core.discovery import Method, load
from localcloud.core.errors import ApiError

INSERT = "/compute/v1/projects/p/zones/z/instances"


def method(verb: str, path: str, api: str = "compute.v1") -> Method:
    match = load(api).match(verb, path)
    assert match is not None
    return match.method


def refusal(body: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        method("POST", INSERT).check_request(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


@pytest.mark.parametrize(
    "api", ["compute.v1", "cloudfunctions.v2", "cloudscheduler.v1", "pubsub.v1", "cloudbuild.v1"]
)
def test_every_method_of_a_document_is_recognised_by_its_path(api: str) -> None:
    document = load(api)
    base = document.base_path
    for name, raw in document.methods.items():
        path = base + re.sub(r"\{[^}]+\}", "abc", raw.get("flatPath") or raw["path"])
        match = document.match(raw["httpMethod"], path)
        assert match is not None, name
        assert match.method.id == name


def test_path_parameters_are_unquoted() -> None:
    match = load("compute.v1").match("GET", "/compute/v1/projects/example.com%3Ap/zones/z")
    assert match is not None
    assert match.params == {"project": "example.com:p", "zone": "z"}


def test_a_parameter_may_span_segments() -> None:
    match = load("cloudfunctions.v2").match("GET", "/v2/projects/p/locations/l/functions/f:getIamPolicy")
    assert match is not None
    assert match.method.id.endswith("functions.getIamPolicy")
    assert match.params == {"resource": "projects/p/locations/l/functions/f"}


def test_an_escaped_slash_in_a_parameter_that_spans_segments_stays_one() -> None:
    repository = "projects/p/locations/l/repositories/r"
    match = load("artifactregistry.v1").match("GET", f"/v1/{repository}/packages/a%2fb%2Fc%3Ad/tags/t")
    assert match is not None
    assert match.method.id.endswith("packages.tags.get")
    assert match.params == {"name": f"{repository}/packages/a%2Fb%2Fc:d/tags/t"}


@pytest.mark.parametrize(
    "path", ["/compute/v1/projects/p/zoness", "/compute/v2/projects/p", "/", "/compute/v1/"]
)
def test_a_path_of_no_method_is_not_recognised(path: str) -> None:
    assert load("compute.v1").match("GET", path) is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"name": "vm"}, id="name alone"),
        pytest.param(
            {"name": "vm", "disks": [{"diskSizeGb": "10"}, {"diskSizeGb": 10}]}, id="int64 as text or number"
        ),
        pytest.param({"name": "vm", "labels": {"a": "b"}, "fingerprint": "abc_-w"}, id="map and bytes"),
        pytest.param(
            {"name": "vm", "scheduling": {"provisioningModel": "SPOT", "maxRunDuration": {"seconds": "1"}}},
            id="nested objects",
        ),
        pytest.param({"name": "vm", "description": None}, id="null"),
    ],
)
def test_a_good_body_is_taken(body: Any) -> None:
    assert method("POST", INSERT).check_request(json.dumps(body).encode()) == body


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"bogus": 1}, "Unknown name \"bogus\" at 'resource'", id="unknown field"),
        pytest.param(
            {"disks": [{"diskSize": 1}]},
            "Unknown name \"diskSize\" at 'resource.disks[0]'",
            id="unknown field in a list",
        ),
        pytest.param({"machine_type": "x"}, 'Unknown name "machine_type"', id="field in snake case"),
        pytest.param(
            {"scheduling": {"provisioningModel": "SPOTTY"}},
            "'SPOTTY'. Must be one of",
            id="unknown enum value",
        ),
        pytest.param({"name": "Bad_Name"}, "Must be a match of regex", id="name of a wrong form"),
        pytest.param(
            {"name": "good-but-then.bad"}, "Must be a match of regex", id="name right at its start only"
        ),
        pytest.param({"disks": {}}, "Must be a list", id="object for a list"),
        pytest.param({"disks": [None]}, "'resource.disks[0]'. Must be a value", id="null in a list"),
        pytest.param({"disks": [{"boot": "yes"}]}, "Must be true or false", id="text for a boolean"),
        pytest.param({"disks": [{"diskSizeGb": "ten"}]}, "Must be an int64", id="word for an int64"),
        pytest.param({"disks": [{"diskSizeGb": str(1 << 63)}]}, "Must be an int64", id="int64 too large"),
        pytest.param({"disks": [{"diskSizeGb": True}]}, "Must be an int64", id="boolean for an int64"),
        pytest.param(
            {"guestAccelerators": [{"acceleratorCount": 1.5}]},
            "Must be a whole number",
            id="fraction for an int32",
        ),
        pytest.param(
            {"guestAccelerators": [{"acceleratorCount": 1 << 31}]},
            "Must be a number from",
            id="int32 too large",
        ),
        pytest.param({"fingerprint": "not base64!"}, "Must be base64", id="text that is no base64"),
        pytest.param({"fingerprint": "é"}, "Must be base64", id="base64 that is not ASCII"),
        pytest.param(
            {"labels": {"a": 1}}, "'resource.labels.a': 1. Must be a string", id="number for a string"
        ),
        pytest.param(
            {"name": None}, "Required field 'resource.name' not specified", id="required field null"
        ),
    ],
)
def test_a_bad_body_is_a_400_that_names_the_field(change: Mapping[str, Any], words: str) -> None:
    error = refusal({"name": "vm", **change})
    assert error.status == 400
    assert words in error.message


def test_all_faults_of_a_body_are_reported_at_once() -> None:
    message = refusal({"name": "vm", "bogus": 1, "canIpForward": "yes"}).message
    assert "bogus" in message
    assert "resource.canIpForward" in message


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"status": "RUNNING"}, id="good value"),
        pytest.param(
            {"status": "NO SUCH STATUS", "id": [], "resourceStatus": {"no such": "field"}}, id="bad values"
        ),
        pytest.param({"kind": None}, id="null"),
    ],
)
def test_read_only_fields_of_any_type_are_left_out_of_a_request(extra: Mapping[str, Any]) -> None:
    assert method("POST", INSERT).check_request(json.dumps({"name": "vm", **extra}).encode()) == {
        "name": "vm"
    }


def test_read_only_fields_are_left_out_at_any_depth() -> None:
    given = {
        "name": "vm",
        "disks": [{"boot": True, "index": 0, "kind": "compute#attachedDisk"}],
        "networkInterfaces": [{"kind": "x", "accessConfigs": [{"kind": "x", "name": "nat"}]}],
    }
    assert method("POST", INSERT).check_request(json.dumps(given).encode()) == {
        "name": "vm",
        "disks": [{"boot": True}],
        "networkInterfaces": [{"accessConfigs": [{"name": "nat"}]}],
    }


def test_fields_that_only_compute_engines_text_calls_output_only_arrive() -> None:
    given = {"name": "vm", "fingerprint": "abc_-w", "networkInterfaces": [{"name": "nic0"}]}
    assert method("POST", INSERT).check_request(json.dumps(given).encode()) == given


def test_an_unknown_number_of_an_enum_that_only_google_sets_is_no_fault() -> None:
    create = method("POST", "/v1/projects/p/locations/l/jobs", "cloudscheduler.v1")
    assert create.check_request(b'{"name": "j", "state": 99}') == {"name": "j"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="half of an object"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"x"', id="text"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"[" * 100_000, id="deeper than Python reads"),
        pytest.param(b'{"labels":' * 600 + b"{}" + b"}" * 600, id="deeper than the checks read"),
        pytest.param(rb'{"name": "vm", "description": "\ud800"}', id="half of a surrogate pair"),
    ],
)
def test_a_body_that_is_no_json_object_is_a_400(body: bytes) -> None:
    assert refusal(body).status == 400


def test_a_method_without_a_body_refuses_one() -> None:
    wait = method("POST", "/compute/v1/projects/p/zones/z/operations/o/wait")
    assert wait.check_request(b"") == {}
    with pytest.raises(ApiError, match="takes no body"):
        wait.check_request(b'{"a": 1}')


def test_parameters_of_the_query_are_checked() -> None:
    serial = method("GET", "/compute/v1/projects/p/zones/z/instances/i/serialPort")
    path = {"project": "p", "zone": "z", "instance": "i"}
    assert serial.check_params(path, {"port": ["1"], "start": ["5"], "$alt": ["json"]}) == {
        **path,
        "port": "1",
        "start": "5",
    }
    for query, words in (
        ({"prot": ["1"]}, 'Unknown name "prot"'),
        ({"port": ["5"]}, "from 1 to 4"),
        ({"port": ["x"]}, "whole number"),
        ({"port": ["1", "2"]}, "given 2 times"),
    ):
        with pytest.raises(ApiError) as caught:
            serial.check_params(path, query)
        assert words in caught.value.message


def test_a_parameter_that_only_current_clients_know_has_no_effect() -> None:
    path = {"project": "p", "zone": "z"}
    assert method("GET", INSERT).check_params(path, {"returnPartialSuccess": ["true"]}) == path


def test_a_path_parameter_must_fit_its_pattern() -> None:
    get = method("GET", f"{INSERT}/x")
    with pytest.raises(ApiError, match="Must be a match of regex"):
        get.check_params({"project": "p", "zone": "z", "instance": "BAD"}, {})


def test_a_required_parameter_of_the_query_is_asked_for() -> None:
    change = method("POST", f"{INSERT}/x/setDiskAutoDelete")
    with pytest.raises(ApiError, match="Required parameter"):
        change.check_params({"project": "p", "zone": "z", "instance": "x"}, {})


@pytest.mark.parametrize(
    ("answer", "fits"),
    [
        pytest.param({"name": "vm", "status": "RUNNING", "id": "123"}, True, id="good"),
        pytest.param({"id": 123}, False, id="number for an uint64"),
        pytest.param({"status": "BUSY"}, False, id="unknown enum value"),
        pytest.param({"bogus": 1}, False, id="unknown field"),
        pytest.param({"name": None}, False, id="null"),
        pytest.param({"fingerprint": "abc"}, False, id="text that is no base64"),
    ],
)
def test_our_own_answers_are_held_to_the_schema(answer: Any, *, fits: bool) -> None:
    assert (method("GET", f"{INSERT}/x").response_problems(answer) == []) is fits


def test_a_missing_discovery_document_is_reported() -> None:
    with pytest.raises(FileNotFoundError):
        load("nonsense.v1")
