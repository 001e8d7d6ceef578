"""Builds that are broken outside their steps: secrets, substitutions, options, results."""

from __future__ import annotations

from tests.localcloud.cloudbuild.samples import Case, Json, build_with, step_build


def _secret(env: str = "TOKEN", version: str = "projects/p/secrets/s/versions/1") -> Json:
    return {"secretManager": [{"versionName": version, "env": env}]}


BROKEN_BUILDS: dict[str, Case] = {
    "secret: undefined": (
        step_build(secretEnv=["TOKEN"]),
        ("steps", 0, "secretEnv", 0),
        'secretEnv "TOKEN" is used without being defined by build step #0',
    ),
    "secret: undefined, of options": (
        build_with(options={"secretEnv": ["TOKEN"]}),
        ("options", "secretEnv", 0),
        'secretEnv "TOKEN" is used without being defined',
    ),
    "secret: unused": (
        build_with(availableSecrets=_secret()),
        ("availableSecrets", "secretManager", 0, "env"),
        'invalid secrets: secretEnv "TOKEN" is defined without being used',
    ),
    "secret: 101": (
        step_build(secretEnv=[f"S{n}" for n in range(101)])
        | {"availableSecrets": {"secretManager": [_secret(f"S{n}")["secretManager"][0] for n in range(101)]}},
        ("availableSecrets",),
        "more than 100 secret values",
    ),
    "secret: defined twice": (
        step_build(secretEnv=["TOKEN"])
        | {"availableSecrets": {"secretManager": _secret()["secretManager"] * 2}},
        ("availableSecrets", "secretManager", 1, "env"),
        'secretEnv "TOKEN" is defined more than once',
    ),
    "secret: version": (
        step_build(secretEnv=["TOKEN"]) | {"availableSecrets": _secret(version="projects/p/secrets/s")},
        ("availableSecrets", "secretManager", 0, "versionName"),
        "must be of the form projects/PROJECT/secrets/SECRET/versions/VERSION",
    ),
    "secret: no variable": (
        build_with(availableSecrets=_secret(env="")),
        ("availableSecrets", "secretManager", 0, "env"),
        "must specify env",
    ),
    "secret: bad variable": (
        step_build(secretEnv=["A-B"]) | {"availableSecrets": _secret(env="A-B")},
        ("availableSecrets", "secretManager", 0, "env"),
        "must be a variable's name",
    ),
    "secret: twice in a step": (
        step_build(secretEnv=["TOKEN", "TOKEN"]) | {"availableSecrets": _secret()},
        ("steps", 0, "secretEnv", 1),
        'build step #0 uses the secretEnv "TOKEN" more than once',
    ),
    "secret: twice in options": (
        build_with(options={"secretEnv": ["TOKEN", "TOKEN"]}, availableSecrets=_secret()),
        ("options", "secretEnv", 1),
        'global secretEnv "TOKEN" more than once',
    ),
    "secret: of all and of one": (
        step_build(secretEnv=["TOKEN"])
        | {"options": {"secretEnv": ["TOKEN"]}, "availableSecrets": _secret()},
        ("steps", 0, "secretEnv", 0),
        'uses the global secretEnv "TOKEN"',
    ),
    "secret: and env": (
        step_build(secretEnv=["TOKEN"], env=["TOKEN=x"]) | {"availableSecrets": _secret()},
        ("steps", 0, "secretEnv", 0),
        'build step #0 has secret and non-secret env "TOKEN"',
    ),
    "secret: of all, and env": (
        step_build(env=["TOKEN=x"]) | {"options": {"secretEnv": ["TOKEN"]}, "availableSecrets": _secret()},
        ("steps", 0),
        'build step #0 has secret and non-secret env "TOKEN"',
    ),
    "key: form": (
        build_with(substitutions={"TEST_DATA": "x"}),
        ("substitutions", "TEST_DATA"),
        (
            'invalid .substitutions field: substitution key "TEST_DATA" does not respect format "^_[A-Z0-9_]+$" '
            "and is not an overridable built-in substitutions"
        ),
    ),
    "key: lower case": (
        build_with(substitutions={"_x": ""}),
        ("substitutions", "_x"),
        "does not respect format",
    ),
    "key: a fixed one": (
        build_with(substitutions={"PROJECT_ID": "x"}),
        ("substitutions", "PROJECT_ID"),
        "is not an overridable built-in",
    ),
    "value: long": (
        build_with(substitutions={"_A": "x" * 4001}),
        ("substitutions", "_A"),
        'value of "_A" too long (max: 4000)',
    ),
    "keys: 201": (
        build_with(substitutions={f"_{n}": "" for n in range(201)}),
        ("substitutions",),
        "number of substitutions 201 exceeded (max: 200)",
    ),
    "dynamic: cycle": (
        build_with(substitutions={"_A": "$_B", "_B": "${X:-${_A}}"}, options={"dynamicSubstitutions": True}),
        ("substitutions", "_A"),
        "[_A -> $_B]: cycle in evaluating substitutions",
    ),
    "account: form": (
        build_with(serviceAccount="ci@my-project.iam.gserviceaccount.com", options={"logging": "NONE"}),
        ("serviceAccount",),
        "must be of the form projects/PROJECT/serviceAccounts/ACCOUNT",
    ),
    "account: legacy": (
        build_with(
            serviceAccount="projects/p/serviceAccounts/12@cloudbuild.gserviceaccount.com",
            options={"logging": "NONE"},
        ),
        ("serviceAccount",),
        "legacy Cloud Build service account",
    ),
    "account: no place for logs": (
        build_with(serviceAccount="projects/p/serviceAccounts/a@b", options={"logging": "GCS_ONLY"}),
        ("serviceAccount",),
        (
            "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket', "
            "(b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, or "
            "(c) use either CLOUD_LOGGING_ONLY / NONE logging options"
        ),
    ),
    "image: form": (build_with(images=["gcr.io//x"]), ("images", 0), "could not parse reference: gcr.io//x"),
    "image: of artifacts": (
        build_with(artifacts={"images": ["gcr.io//x"]}),
        ("artifacts", "images", 0),
        'invalid image name "gcr.io//x"',
    ),
    "image: capitals": (
        build_with(images=["gcr.io/p/X:a"]),
        ("images", 0),
        'invalid image name "gcr.io/p/X:a" contains uppercase letters',
    ),
    "image: twice": (build_with(images=["a", "a"]), ("images", 1), 'image "a" is given more than once'),
    "image: digest": (build_with(images=["a@sha256:" + "0" * 64]), ("images", 0), "a tag, not a digest"),
    "images: two lists": (
        build_with(images=["a"], artifacts={"images": ["b"]}),
        ("artifacts", "images"),
        "cannot specify different .images and .artifacts.images",
    ),
    "tag: form": (build_with(tags=["a b"]), ("tags", 0), 'invalid build tag "a b": must match format'),
    "tags: 65": (
        build_with(tags=[f"t{n}" for n in range(65)]),
        ("tags",),
        "number of tags 65 exceeded (max: 64)",
    ),
}
