"""Integer enums in requests become names by the client library's own numbers."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from google.cloud.devtools import cloudbuild_v1
from google.cloud.secretmanager_v1 import Secret
from google.protobuf import json_format

from localcloud.core import enums
from localcloud.core.discovery import Document, load
from localcloud.core.enums import named
from localcloud.core.errors import ApiError
from localcloud.services.registry import SPECS

Json = dict[str, Any]
LIBRARIES = {api: library for spec in SPECS for api, library in spec.libraries.items()}


def names(body: Json, schema: str = "Build", api: str = "cloudbuild.v1") -> Json:
    library = LIBRARIES.get(api)
    return body if library is None else named(library, schema, body, load(api).schemas)


def as_sent(message: Any) -> Json:
    """Return a message as Google's REST clients put it on the wire."""
    sent: Json = json.loads(json_format.MessageToJson(type(message).pb(message), use_integers_for_enums=True))
    return sent


@pytest.mark.parametrize(
    ("options", "wire", "name"),
    [
        pytest.param(
            {"logging": cloudbuild_v1.BuildOptions.LoggingMode.CLOUD_LOGGING_ONLY}, 5, "CLOUD_LOGGING_ONLY",
            id="logging",
        ),
        pytest.param(
            {"machine_type": cloudbuild_v1.BuildOptions.MachineType.E2_MEDIUM}, 7, "E2_MEDIUM",
            id="machine type",
        ),
        pytest.param(
            {"substitution_option": cloudbuild_v1.BuildOptions.SubstitutionOption.ALLOW_LOOSE}, 1, "ALLOW_LOOSE",
            id="substitutions",
        ),
    ],
)  # fmt: skip
def test_an_enum_sent_as_a_number_arrives_as_its_name(options: Json, wire: int, name: str) -> None:
    sent = as_sent(cloudbuild_v1.Build(options=options))
    (key,) = sent["options"]
    assert sent["options"][key] == wire
    assert names(sent) == {"options": {key: name}}


def test_a_request_is_checked_and_handed_on_with_names() -> None:
    match = load("cloudbuild.v1").match("POST", "/v1/projects/p/builds")
    assert match is not None
    body = {"steps": [{"name": "a"}], "options": {"logging": 2, "diskSizeGb": "100"}}
    assert match.method.check_request(json.dumps(body).encode(), LIBRARIES["cloudbuild.v1"]) == {
        "steps": [{"name": "a"}],
        "options": {"logging": "GCS_ONLY", "diskSizeGb": "100"},
    }


def test_repeated_enums_and_enums_in_lists_of_messages() -> None:
    build = {
        "steps": [{"name": "a", "status": 2, "exitCode": 2}, {"name": "b", "status": 10}],
        "options": {"sourceProvenanceHash": [1, "MD5", 4]},
    }
    assert names(build) == {
        "steps": [
            {"name": "a", "status": "WORKING", "exitCode": 2},
            {"name": "b", "status": "PENDING"},
        ],
        "options": {"sourceProvenanceHash": ["SHA256", "MD5", "SHA512"]},
    }


def test_enums_in_the_messages_of_a_map() -> None:
    source = {"fileHashes": {"gs://b/o#1": {"fileHash": [{"type": 2, "value": "aGk="}]}}}
    assert names({"sourceProvenance": source})["sourceProvenance"]["fileHashes"] == {
        "gs://b/o#1": {"fileHash": [{"type": "MD5", "value": "aGk="}]}
    }


def test_the_number_of_an_unset_enum_is_its_unspecified_name() -> None:
    assert names({"options": {"logging": 0}}) == {"options": {"logging": "LOGGING_UNSPECIFIED"}}


def test_names_and_other_numbers_stay_as_they_are() -> None:
    body = {
        "timeout": "600s",
        "status": "QUEUED",
        "steps": [{"name": "a", "allowExitCodes": [1, 2], "allowFailure": True}],
        "options": {"logging": 3, "dynamicSubstitutions": True},
        "substitutions": {"_A": "1"},
        "bogus": 1,
    }
    assert names(body) == body | {"options": {"logging": "STACKDRIVER_ONLY", "dynamicSubstitutions": True}}


def test_the_body_given_is_not_changed() -> None:
    body = {"options": {"logging": 1}}
    names(body)
    assert body == {"options": {"logging": 1}}


@pytest.mark.parametrize(
    "wrong",
    ["text", ["a", 1], 7, None, {"status": 1}],
    ids=["text", "list", "number", "null", "number in a field"],
)
def test_a_value_of_a_wrong_shape_is_left_to_the_schema(wrong: Any) -> None:
    body = {"steps": wrong, "options": {"logging": 4}, "substitutions": wrong}
    assert names(body)["options"] == {"logging": "NONE"}


def test_a_number_that_the_enum_lacks_is_a_400_that_names_field_and_type() -> None:
    with pytest.raises(ApiError) as caught:
        names({"steps": [{"name": "a"}, {"status": 99}]})
    assert (caught.value.status, caught.value.message) == (
        400,
        "Invalid value at 'request.steps[1].status' (type.googleapis.com/google.devtools.cloudbuild.v1.Build.Status), 99",
    )


def test_a_boolean_is_no_number() -> None:
    assert names({"options": {"logging": True}}) == {"options": {"logging": True}}


def test_a_message_that_several_apis_share() -> None:
    policy = {"policy": {"auditConfigs": [{"service": "a", "auditLogConfigs": [{"logType": 3}]}]}}
    configs = names(policy, "SetIamPolicyRequest", "secretmanager.v1")["policy"]["auditConfigs"]
    assert configs[0]["auditLogConfigs"] == [{"logType": "DATA_READ"}]


def test_an_enum_whose_numbers_are_not_in_the_document_s_order() -> None:
    sent = as_sent(Secret(secret_type=Secret.SecretType.OTHER))
    assert names(sent, "Secret", "secretmanager.v1") == {"secretType": "OTHER"}


def test_a_message_that_the_library_does_not_know_stays_for_the_schema_to_refuse() -> None:
    body = {"includeBuildLogs": 1}
    assert names(body, "BuildTrigger") == body


def test_compute_sends_names_and_is_left_alone() -> None:
    body = {"scheduling": {"provisioningModel": 1}}
    assert names(body, "Instance", "compute.v1") == body


def test_a_library_that_is_not_installed_is_a_501_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.functions_v2", None)
    enums._message.cache_clear()
    for body in ({"environment": 2}, {"environment": 0}):
        with pytest.raises(ApiError) as caught:
            names(body, "Function", "cloudfunctions.v2")
        assert caught.value.status == 501
        assert "google-cloud-functions" in caught.value.message
    assert names({"environment": "GEN_2"}, "Function", "cloudfunctions.v2") == {"environment": "GEN_2"}


def test_no_library_is_imported_before_a_number_needs_it() -> None:
    script = (
        "import sys; from localcloud.core.discovery import load; from localcloud.core.spec import Library\n"
        f"library = {LIBRARIES['cloudbuild.v1']!r}\n"
        "method = load('cloudbuild.v1').match('POST', '/v1/projects/p/builds').method\n"
        'method.check_request(b\'{"steps": [{"name": "a"}], "options": {"logging": "NONE"}}\', library)\n'
        "assert 'google.cloud.devtools' not in sys.modules and 'google.protobuf' not in sys.modules\n"
        'method.check_request(b\'{"steps": [{"name": "a"}], "options": {"logging": 4}}\', library)\n'
        "assert 'google.cloud.devtools.cloudbuild_v1' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def enums_below(
    document: Document, schema: str, message: Any, seen: set[str]
) -> Iterator[tuple[str, Json, Any]]:
    """Yield every enum that a request may hold: its place, its schema, its descriptor."""
    fields = {field.json_name: field for field in message.fields}
    for key, spec in document.schemas[schema].get("properties", {}).items():
        if key not in fields:
            continue
        field, inner = fields[key], spec.get("items", spec)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            field, inner = field.message_type.fields_by_name["value"], spec["additionalProperties"]
        if "enum" in inner:
            yield f"{schema}.{key}", inner, field.enum_type
        elif "$ref" in inner and field.message_type is not None and inner["$ref"] not in seen:
            seen.add(inner["$ref"])
            yield from enums_below(document, inner["$ref"], field.message_type, seen)


@pytest.mark.parametrize(("api", "least"), [("cloudbuild.v1", 20), ("secretmanager.v1", 3)])
def test_every_number_s_name_is_one_that_the_document_has(api: str, least: int) -> None:
    document = load(api)
    requests: set[str] = {raw["request"]["$ref"] for raw in document.methods.values() if "request" in raw}
    known: Mapping[str, Any] = {name: enums._message(LIBRARIES[api], name) for name in requests}
    found = [
        enum
        for name, message in known.items()
        if message is not None
        for enum in enums_below(document, name, message, set())
    ]
    assert len(found) >= least
    for place, schema, descriptor in found:
        assert {value.name for value in descriptor.values} <= set(schema["enum"]), place
