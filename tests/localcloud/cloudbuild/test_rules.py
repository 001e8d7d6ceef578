"""What Cloud Build refuses: one table of broken builds, each with where it is wrong and in which words."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.cloudbuild.names import Image, parse_image
from localcloud.cloudbuild.problem import Path
from localcloud.cloudbuild.rules import Problem, problems
from localcloud.cloudbuild.substitutions import apply, builtin, undefined

Json = dict[str, Any]

_VERSION = "projects/$PROJECT_ID/secrets/token/versions/latest"
_GOOD: Json = {
    "steps": [
        {
            "id": "fetch",
            "name": "gcr.io/cloud-builders/git",
            "args": ["clone", "--branch=$BRANCH_NAME", "https://example.com/${_REPO}", "."],
            "volumes": [{"name": "cache", "path": "/cache"}],
            "timeout": "300s",
        },
        {
            "id": "run",
            "name": "us-docker.pkg.dev/$PROJECT_ID/tools/notebook-builder:v1",
            "args": ["run"],
            "env": ["NB_RUN_ID=$BUILD_ID", "EMPTY="],
            "secretEnv": ["TOKEN"],
            "dir": "notebooks/../reports",
            "waitFor": ["fetch"],
            "volumes": [{"name": "cache", "path": "/cache"}],
            "allowExitCodes": [1, 255],
        },
        {"name": "ubuntu@sha256:" + "0" * 64, "script": "echo $HOME $lower", "waitFor": ["-"], "dir": "/tmp"},
    ],
    "timeout": "3600s",
    "queueTtl": "600s",
    "logsBucket": "gs://${_REPO}-logs/builds",
    "serviceAccount": "projects/$PROJECT_ID/serviceAccounts/ci@$PROJECT_ID.iam.gserviceaccount.com",
    "tags": ["nightly", "$SHORT_SHA"],
    "images": ["us-docker.pkg.dev/$PROJECT_ID/tools/report:$SHORT_SHA"],
    "artifacts": {"objects": {"location": "gs://$PROJECT_ID-out/", "paths": ["*.html", "*.svg"]}},
    "availableSecrets": {"secretManager": [{"versionName": _VERSION, "env": "TOKEN"}]},
    "substitutions": {"_REPO": "demo", "SHORT_SHA": "0123abc"},
    "options": {"env": ["A=1"], "machineType": "E2_HIGHCPU_8", "diskSizeGb": "200", "logging": "GCS_ONLY"},
}


def _step(**fields: Any) -> Json:
    return {"steps": [{"name": "ubuntu"} | fields]}


def _steps(*steps: Json) -> Json:
    return {"steps": [{"name": "ubuntu"} | step for step in steps]}


def _build(**fields: Any) -> Json:
    return _step() | fields


def _volumes(*volumes: tuple[str, str]) -> list[Json]:
    return [{"name": name, "path": path} for name, path in volumes]


def _secret(env: str = "TOKEN", version: str = "projects/p/secrets/s/versions/1") -> Json:
    return {"secretManager": [{"versionName": version, "env": env}]}


_TWO = {"name": "ubuntu", "volumes": _volumes(("shared", "/shared"))}

_REFUSED: dict[str, tuple[Json, Path, str]] = {
    "steps: none": ({}, ("steps",), "no build steps are specified"),
    "steps: empty": ({"steps": []}, ("steps",), "no build steps are specified"),
    "steps: 301": ({"steps": [{"name": "a"}] * 301}, ("steps",), "cannot specify more than 300 build steps"),
    "name: missing": (
        {"steps": [{"id": "x"}]},
        ("steps", 0, "name"),
        'build step #0 - "x" must specify name',
    ),
    "name: no image": (_step(name="Ubuntu:"), ("steps", 0, "name"), 'invalid build step name "Ubuntu:"'),
    "name: a URL": (_step(name="https://gcr.io/x"), ("steps", 0, "name"), "could not parse reference"),
    "name: long": (_step(name="a" * 1001), ("steps", 0, "name"), "name too long (max: 1000)"),
    "args: 101": (_step(args=["x"] * 101), ("steps", 0, "args"), "build step 0 too many args (max: 100)"),
    "args: long": (
        _step(args=["x", "y" * 10_001]),
        ("steps", 0, "args", 1),
        "invalid .steps field: build step 0 arg 1 too long (max: 10000)",
    ),
    "script: args": (
        _step(script="x", args=["y"]),
        ("steps", 0, "args"),
        "build step 0 both script and args provided",
    ),
    "script: entrypoint": (
        _step(script="x", entrypoint="y", id="a"),
        ("steps", 0, "entrypoint"),
        'build step 0 - "a" both script and entrypoint provided',
    ),
    "env: no =": (
        _step(env=["A"]),
        ("steps", 0, "env", 0),
        'the Env entry "A" must be of the form "KEY=VALUE"',
    ),
    "env: no key": (_step(env=["=x"]), ("steps", 0, "env", 0), 'must be of the form "KEY=VALUE"'),
    "env: twice": (_step(env=["A=1", "A=2"]), ("steps", 0, "env", 1), 'gives "A" a second time'),
    "env: of options": (
        _build(options={"env": ["A"]}),
        ("options", "env", 0),
        'invalid .options.env field: the Env entry "A"',
    ),
    "dir: out": (_step(dir="a/../../b"), ("steps", 0, "dir"), 'dir "a/../../b" leads out of /workspace'),
    "dir: long": (_step(dir="a" * 1001), ("steps", 0, "dir"), "dir too long"),
    "volume: name": (
        _steps({"volumes": _volumes(("-x", "/a"))}, {"volumes": _volumes(("-x", "/a"))}),
        ("steps", 0, "volumes", 0, "name"),
        'volume name "-x" does not match "^[a-zA-Z0-9][a-zA-Z0-9_.-]+$"',
    ),
    "volume: relative": (
        _steps({"volumes": _volumes(("vv", "a"))}, {"volumes": _volumes(("vv", "/a"))}),
        ("steps", 0, "volumes", 0, "path"),
        "must be absolute",
    ),
    "volume: reserved": (
        _steps({"volumes": _volumes(("vv", "/workspace/"))}, {"volumes": _volumes(("vv", "/a"))}),
        ("steps", 0, "volumes", 0, "path"),
        'path "/workspace/" of volume "vv" is reserved',
    ),
    "volume: reserved home": (
        _steps({"volumes": _volumes(("vv", "/a"))}, {"volumes": _volumes(("vv", "/builder/home"))}),
        ("steps", 1, "volumes", 0, "path"),
        "is reserved",
    ),
    "volume: /cloudbuild": (
        _steps({"volumes": _volumes(("vv", "/a"))}, {"volumes": _volumes(("vv", "/cloudbuild/x"))}),
        ("steps", 1, "volumes", 0, "path"),
        "cannot start with /cloudbuild/",
    ),
    "volume: name twice": (
        _steps({"volumes": _volumes(("vv", "/a"), ("vv", "/b"))}, {"volumes": _volumes(("vv", "/a"))}),
        ("steps", 0, "volumes", 1, "name"),
        'volume name "vv" is defined in more than one volume entry',
    ),
    "volume: path twice": (
        _steps(
            {"volumes": _volumes(("vv", "/a"), ("ww", "/a/"))},
            {"volumes": _volumes(("vv", "/a"), ("ww", "/b"))},
        ),
        ("steps", 0, "volumes", 1, "path"),
        'volume path "/a" is defined in more than one volume entry',
    ),
    "volume: one step": (
        _step(volumes=_volumes(("vv", "/a"))),
        ("steps", 0, "volumes", 0, "name"),
        'Volume "vv" is only used by one step',
    ),
    "volume: global, one step": (
        _build(options={"volumes": _volumes(("vv", "/a"))}),
        ("options", "volumes"),
        "fewer than two steps",
    ),
    "volume: global name": (
        {"steps": [_TWO, _TWO], "options": {"volumes": _volumes(("shared", "/other"))}},
        ("steps", 0, "volumes", 0, "name"),
        'volume name "shared" conflicts with global volume',
    ),
    "volume: global path": (
        {"steps": [_TWO, _TWO], "options": {"volumes": _volumes(("other", "/shared"))}},
        ("steps", 1, "volumes", 0, "path"),
        'volume path "/shared" conflicts with global volume',
    ),
    "waitFor: unknown": (_step(waitFor=["x"]), ("steps", 0, "waitFor", 0), "no step has this ID"),
    "waitFor: itself": (
        _step(id="a", waitFor=["-", "a"]),
        ("steps", 0, "waitFor", 1),
        'build step #0 - "a" depends on "a", which has not been defined: it is this step itself',
    ),
    "waitFor: later": (
        _steps({"waitFor": ["b"]}, {"id": "b"}),
        ("steps", 0, "waitFor", 0),
        "step #1 is defined later",
    ),
    "id: twice": (_steps({"id": "a"}, {"id": "a"}), ("steps", 1, "id"), "the ID is not unique"),
    "id: -": (_step(id="-"), ("steps", 0, "id"), 'the ID cannot be "-"'),
    "timeout: hours": (
        _build(timeout="1h"),
        ("timeout",),
        "invalid value for 'build.timeout': illegal duration format \"1h\"",
    ),
    "timeout: zero": (_build(timeout="0s"), ("timeout",), "must be greater than 0"),
    "timeout: negative": (_build(timeout="-1s"), ("timeout",), "must be greater than 0"),
    "timeout: over a day": (_build(timeout="86401s"), ("timeout",), 'less than or equal to "24h0m0s"'),
    "timeout: step over build": (
        _step(timeout="1201s", id="a") | {"timeout": "1200s"},
        ("steps", 0, "timeout"),
        "invalid value for 'build.steps[0].timeout': value must be less than or equal to "
        'build timeout value of "20m0s" (build step #0 - "a")',
    ),
    "timeout: step over default": (
        _step(timeout="3601s"),
        ("steps", 0, "timeout"),
        'build timeout value of "1h0m0s"',
    ),
    "timeout: step": (_step(timeout="0s"), ("steps", 0, "timeout"), "must be greater than 0"),
    "queueTtl": (_build(queueTtl="soon"), ("queueTtl",), "invalid value for 'build.queue_ttl'"),
    "exit code: 0": (
        _step(allowExitCodes=[0]),
        ("steps", 0, "allowExitCodes", 0),
        "exit code of 1 to 255, not 0",
    ),
    "exit code: 256": (_step(allowExitCodes=[1, 256]), ("steps", 0, "allowExitCodes", 1), "not 256"),
    "secret: undefined": (
        _step(secretEnv=["TOKEN"]),
        ("steps", 0, "secretEnv", 0),
        'secretEnv "TOKEN" is used without being defined by build step #0',
    ),
    "secret: undefined, of options": (
        _build(options={"secretEnv": ["TOKEN"]}),
        ("options", "secretEnv", 0),
        'secretEnv "TOKEN" is used without being defined',
    ),
    "secret: unused": (
        _build(availableSecrets=_secret()),
        ("availableSecrets", "secretManager", 0, "env"),
        'invalid secrets: secretEnv "TOKEN" is defined without being used',
    ),
    "secret: unused, old form": (
        _build(secrets=[{"kmsKeyName": "k", "secretEnv": {"TOKEN": ""}}]),
        ("secrets", 0, "secretEnv", "TOKEN"),
        'secretEnv "TOKEN" is defined without being used',
    ),
    "secret: empty": (
        _build(secrets=[{"kmsKeyName": "k"}]),
        ("secrets", 0),
        "secret 0 defines no secretEnvs",
    ),
    "secret: large": (
        _step(secretEnv=["TOKEN"])
        | {"availableSecrets": {"inline": [{"kmsKeyName": "k", "envMap": {"TOKEN": "x" * 65_537}}]}},
        ("availableSecrets", "inline", 0, "envMap", "TOKEN"),
        "cannot exceed 65536B",
    ),
    "secret: 101": (
        _step(secretEnv=[f"S{n}" for n in range(101)])
        | {"secrets": [{"kmsKeyName": "k", "secretEnv": {f"S{n}": "" for n in range(101)}}]},
        ("availableSecrets",),
        "more than 100 secret values",
    ),
    "secret: defined twice": (
        _step(secretEnv=["TOKEN"]) | {"availableSecrets": {"secretManager": _secret()["secretManager"] * 2}},
        ("availableSecrets", "secretManager", 1, "env"),
        'secretEnv "TOKEN" is defined more than once',
    ),
    "secret: version": (
        _step(secretEnv=["TOKEN"]) | {"availableSecrets": _secret(version="projects/p/secrets/s")},
        ("availableSecrets", "secretManager", 0, "versionName"),
        "must be of the form projects/PROJECT/secrets/SECRET/versions/VERSION",
    ),
    "secret: no variable": (
        _build(availableSecrets=_secret(env="")),
        ("availableSecrets", "secretManager", 0, "env"),
        "must specify env",
    ),
    "secret: bad variable": (
        _step(secretEnv=["A-B"]) | {"availableSecrets": _secret(env="A-B")},
        ("availableSecrets", "secretManager", 0, "env"),
        "must be a variable's name",
    ),
    "secret: twice in a step": (
        _step(secretEnv=["TOKEN", "TOKEN"]) | {"availableSecrets": _secret()},
        ("steps", 0, "secretEnv", 1),
        'build step #0 uses the secretEnv "TOKEN" more than once',
    ),
    "secret: twice in options": (
        _build(options={"secretEnv": ["TOKEN", "TOKEN"]}, availableSecrets=_secret()),
        ("options", "secretEnv", 1),
        'global secretEnv "TOKEN" more than once',
    ),
    "secret: of all and of one": (
        _step(secretEnv=["TOKEN"]) | {"options": {"secretEnv": ["TOKEN"]}, "availableSecrets": _secret()},
        ("steps", 0, "secretEnv", 0),
        'uses the global secretEnv "TOKEN"',
    ),
    "secret: and env": (
        _step(secretEnv=["TOKEN"], env=["TOKEN=x"]) | {"availableSecrets": _secret()},
        ("steps", 0, "secretEnv", 0),
        'build step #0 has secret and non-secret env "TOKEN"',
    ),
    "secret: of all, and env": (
        _step(env=["TOKEN=x"]) | {"options": {"secretEnv": ["TOKEN"]}, "availableSecrets": _secret()},
        ("steps", 0),
        'build step #0 has secret and non-secret env "TOKEN"',
    ),
    "key: form": (
        _build(substitutions={"TEST_DATA": "x"}),
        ("substitutions", "TEST_DATA"),
        'invalid .substitutions field: substitution key "TEST_DATA" does not respect format "^_[A-Z0-9_]+$" '
        "and is not an overridable built-in substitutions",
    ),
    "key: lower case": (_build(substitutions={"_x": ""}), ("substitutions", "_x"), "does not respect format"),
    "key: a fixed one": (
        _build(substitutions={"PROJECT_ID": "x"}),
        ("substitutions", "PROJECT_ID"),
        "is not an overridable built-in",
    ),
    "key: long": (
        _build(substitutions={"_" + "A" * 100: ""}),
        ("substitutions", "_" + "A" * 100),
        "too long (max: 100)",
    ),
    "value: long": (
        _build(substitutions={"_A": "x" * 4001}),
        ("substitutions", "_A"),
        'value of "_A" too long (max: 4000)',
    ),
    "keys: 201": (
        _build(substitutions={f"_{n}": "" for n in range(201)}),
        ("substitutions",),
        "number of substitutions 201 exceeded (max: 200)",
    ),
    "dynamic: syntax": (
        _build(substitutions={"_A": "${_B@Q}"}, options={"dynamicSubstitutions": True}),
        ("substitutions", "_A"),
        '"${_B@Q}" begins with no parameter expansion that is supported',
    ),
    "dynamic: cycle": (
        _build(substitutions={"_A": "$_B", "_B": "${X:-${_A}}"}, options={"dynamicSubstitutions": True}),
        ("substitutions", "_A"),
        "[_A -> $_B]: cycle in evaluating substitutions",
    ),
    "account: form": (
        _build(serviceAccount="ci@p.iam.gserviceaccount.com", logsBucket="gs://logs"),
        ("serviceAccount",),
        "must be of the form projects/PROJECT/serviceAccounts/ACCOUNT",
    ),
    "account: legacy": (
        _build(
            serviceAccount="projects/p/serviceAccounts/12@cloudbuild.gserviceaccount.com",
            logsBucket="gs://logs",
        ),
        ("serviceAccount",),
        "legacy Cloud Build service account",
    ),
    "account: no place for logs": (
        _build(serviceAccount="projects/p/serviceAccounts/a@b", options={"logging": "GCS_ONLY"}),
        ("serviceAccount",),
        "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket', "
        "(b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, or "
        "(c) use either CLOUD_LOGGING_ONLY / NONE logging options",
    ),
    "logsBucket: form": (_build(logsBucket="s3://logs"), ("logsBucket",), 'invalid logs bucket "s3://logs"'),
    "pool: form": (
        _build(options={"pool": {"name": "mine"}}),
        ("options", "pool", "name"),
        "projects/PROJECT/locations/LOCATION/workerPools/POOL",
    ),
    "pool: two": (
        _build(options={"workerPool": "a", "pool": {"name": "projects/p/locations/l/workerPools/w"}}),
        ("options", "workerPool"),
        "specify only one",
    ),
    "pool: machine": (
        _build(
            options={"machineType": "E2_MEDIUM", "pool": {"name": "projects/p/locations/l/workerPools/w"}}
        ),
        ("options", "machineType"),
        "a private pool has its own machine type",
    ),
    "disk": (_build(options={"diskSizeGb": "4001"}), ("options", "diskSizeGb"), "0 to 4000 GB, not 4001"),
    "topic": (
        _build(options={"pubsubTopic": "t"}),
        ("options", "pubsubTopic"),
        "projects/PROJECT/topics/TOPIC",
    ),
    "image: form": (_build(images=["gcr.io//x"]), ("images", 0), "could not parse reference: gcr.io//x"),
    "image: capitals": (
        _build(images=["gcr.io/p/X:a"]),
        ("images", 0),
        'invalid image name "gcr.io/p/X:a" contains uppercase letters',
    ),
    "image: twice": (_build(images=["a", "a"]), ("images", 1), 'image "a" is given more than once'),
    "image: digest": (_build(images=["a@sha256:" + "0" * 64]), ("images", 0), "a tag, not a digest"),
    "image: long": (_build(images=["a" * 1001]), ("images", 0), "image 0 too long"),
    "images: 101": (_build(images=[f"i{n}" for n in range(101)]), ("images",), "more than 100 images"),
    "images: two lists": (
        _build(images=["a"], artifacts={"images": ["b"]}),
        ("artifacts", "images"),
        "cannot specify different .images and .artifacts.images",
    ),
    "objects: location": (
        _build(artifacts={"objects": {"location": "bucket", "paths": ["a"]}}),
        ("artifacts", "objects", "location"),
        "must begin with 'gs://'",
    ),
    "objects: no location": (
        _build(artifacts={"objects": {"paths": ["a"]}}),
        ("artifacts", "objects", "location"),
        ".artifacts.location field is empty",
    ),
    "objects: no paths": (
        _build(artifacts={"objects": {"location": "gs://b"}}),
        ("artifacts", "objects", "paths"),
        ".artifacts.paths field empty",
    ),
    "objects: blank": (
        _build(artifacts={"objects": {"location": "gs://b", "paths": ["a b"]}}),
        ("artifacts", "objects", "paths", 0),
        "contains whitespace",
    ),
    "objects: twice": (
        _build(artifacts={"objects": {"location": "gs://b", "paths": ["a", "a"]}}),
        ("artifacts", "objects", "paths", 1),
        "remove duplicates [a]",
    ),
    "objects: 101": (
        _build(artifacts={"objects": {"location": "gs://b", "paths": [str(n) for n in range(101)]}}),
        ("artifacts", "objects", "paths"),
        "cannot specify more than 100",
    ),
    "packages: nowhere": (
        _build(artifacts={"pythonPackages": [{"paths": ["dist/*"]}]}),
        ("artifacts", "pythonPackages", 0, "repository"),
        "must specify repository",
    ),
    "tag: form": (_build(tags=["a b"]), ("tags", 0), 'invalid build tag "a b": must match format'),
    "tags: 65": (
        _build(tags=[f"t{n}" for n in range(65)]),
        ("tags",),
        "number of tags 65 exceeded (max: 64)",
    ),
}


@pytest.mark.parametrize("case", _REFUSED)
def test_a_broken_build_is_refused_where_it_is_broken(case: str) -> None:
    build, path, words = _REFUSED[case]
    found = [problem for problem in problems(build) if problem.path == path]
    assert any(words in problem.text for problem in found), problems(build)


_SEVERAL = {"volume: name", "volume: global name", "volume: global path", "dynamic: cycle"}


@pytest.mark.parametrize("case", [case for case in _REFUSED if case not in _SEVERAL])
def test_one_fault_is_one_problem(case: str) -> None:
    assert len(problems(_REFUSED[case][0])) == 1


def test_a_good_build_has_no_problem() -> None:
    values = builtin(
        project="demo", project_number="1", location="global", build_id="b", service_account_email="ci@demo"
    )
    assert problems(_GOOD) == []
    assert undefined(_GOOD) == []
    assert problems(apply(_GOOD, values)) == []


def test_what_substitutions_make_wrong_is_found_after_them() -> None:
    build = _build(images=["gcr.io/p/x:$TAG_NAME"], tags=["$TAG_NAME"])
    assert problems(build) == []
    found = problems(apply(build, {}))
    assert [problem.path for problem in found] == [("images", 0)]


def test_all_problems_come_at_once_and_in_order_of_the_file() -> None:
    build = {
        "timeout": "0s",
        "steps": [{"waitFor": ["x"], "name": "U", "args": ["a"], "script": "s"}, {}],
        "substitutions": {"A": ""},
        "tags": ["?"],
    }
    assert [problem.path for problem in problems(build)] == [
        ("timeout",),
        ("steps", 0, "waitFor", 0),
        ("steps", 0, "name"),
        ("steps", 0, "args"),
        ("steps", 1, "name"),
        ("substitutions", "A"),
        ("tags", 0),
    ]


_TEXT = st.sampled_from(
    ["", "-", "a", "A=b", "$_X", "${_X:-$Y}", "gs://b", "0s", "9" * 30 + "s", "/workspace", "\udc80"]
)
_SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | _TEXT
_KEYS = sorted(
    {
        *_GOOD,
        *_GOOD["steps"][0],
        *_GOOD["steps"][1],
        *_GOOD["options"],
        *(
            "script",
            "secretManager",
            "inline",
            "envMap",
            "secretEnv",
            "versionName",
            "pool",
            "objects",
            "location",
        ),
        *("paths", "path", "volumes", "images", "_X", "dynamicSubstitutions", "defaultLogsBucketBehavior"),
    }
)
_ANYTHING = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=6),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(_KEYS), _ANYTHING))
def test_no_json_makes_the_rules_raise(build: Json) -> None:
    before = copy.deepcopy(build)
    for problem in [*problems(build), *undefined(build), *problems(apply(build, {}))]:
        assert isinstance(problem, Problem)
    assert repr(build) == repr(before)


@pytest.mark.parametrize("wrong", [None, 1, "x", [], {}, [1], {"a": 1}])
@pytest.mark.parametrize("field", sorted(_GOOD))
def test_values_of_a_wrong_type_are_left_to_the_schema(field: str, wrong: object) -> None:
    problems(_GOOD | {field: wrong})
    for key in ("name", "args", "env", "dir", "waitFor", "volumes", "timeout", "allowExitCodes", "secretEnv"):
        problems({"steps": [{"name": "ubuntu", key: wrong}, wrong]})


@pytest.mark.parametrize(
    ("name", "image", "basename"),
    [
        ("ubuntu", Image("ubuntu", None, None), "ubuntu"),
        ("localhost:5000/a/b:v1.2", Image("localhost:5000/a/b", "v1.2", None), "b"),
        ("eu.gcr.io/p/x@sha256:" + "a" * 64, Image("eu.gcr.io/p/x", None, "sha256:" + "a" * 64), "x"),
        ("x:v@sha256:" + "a" * 64, Image("x", "v", "sha256:" + "a" * 64), "x"),
    ],
)
def test_image_names(name: str, image: Image, basename: str) -> None:
    assert parse_image(name) == image
    assert image.basename == basename


@pytest.mark.parametrize(
    "name", ["", "A", "a:", "a/", "/a", "a//b", "a b", "a@sha256:1", "https://a", "a:b:c"]
)
def test_no_image_names(name: str) -> None:
    assert parse_image(name) is None
