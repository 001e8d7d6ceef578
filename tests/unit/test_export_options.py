"""Exported options read back as they were: every field, whatever its text looks like to YAML."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.deploy.export_options import entry_of, exported_options, notebooks_json
from builder.errors import BadInput
from builder.model import Accelerator, Expectation
from builder.options import JobOptions, Options
from builder.options.option import DEPLOYMENT
from builder.options.table import BY_NAME, OPTIONS
from builder.options.yaml_text import MAX_TEXT
from builder.plan.deployed import CONFIG
from builder.plan.preparation import Preparation
from builder.plan.requirements_file import Requirements
from tests.loading import load_options

MINIMAL = {
    "NB_NOTEBOOKS": "books/a.ipynb",
    "NB_GCS_LOCATION": "gs://nb-test/ci",
    "NB_VM_SERVICE_ACCOUNT": "notebook-vm@local-project.iam.gserviceaccount.com",
}
IMAGE = "projects/my-images/global/images/nb-v20260701"
PATH = "books/a.ipynb"
# What YAML readers take for something else, and what ours takes for the end of a line.
TRAPS = ["yes", "no", "on", "~", "null", "1e3", "1_000", "0x1F", "007", "12:30", "2026-07-01", ".nan", "", " a ", "- a", "{x}", "#", "&a", "*a", "!t", "%", "@",
         "a: b", "a\nb", "\t", "\x00", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffe", "\U0001f600", "\U0010ffff", 'q"\\', "\\ud83d", "\\n"]  # fmt: skip


def load(**env: str) -> Options:
    return load_options([], {**MINIMAL, **env}, lambda _path: None)


BASE = load().notebooks[0].options


def exported(options: JobOptions, preparation: Preparation | None = None, image: str = IMAGE) -> JobOptions:
    return exported_options(options, image=image, preparation=preparation or Preparation())


def read_back(options: JobOptions, preparation: Preparation | None = None, path: str = PATH) -> JobOptions:
    """Write these options, read them as a scheduled build does, and return them."""
    text = notebooks_json(load(), [entry_of(path, exported(options, preparation))])
    assert json.loads(text)["notebooks"][0]["path"].removeprefix("./") == path
    env = {"NB_CONFIG": CONFIG, "NB_GCS_LOCATION": "gs://nb-test/ci", "LOCATION": "asia-east1"}
    back = load_options(["run"], env, {CONFIG: text}.get)
    (entry,) = back.notebooks
    assert entry.pattern == path
    return back.by_path[path]


def unchanged(options: JobOptions, preparation: Preparation | None = None) -> None:
    assert read_back(options, preparation) == exported(options, preparation)


PARAMETERS = {
    **{f"p{number}": text for number, text in enumerate(TRAPS)},
    "whole": 1,
    "fraction": 1.0,
    "small": 5e-324,
    "large": 1e308,
    "minus": -0.0,
    "long": 10**900,
    "none": None,
    "truth": True,
    "nested": {"a b": [1, [None, {"": "yes"}]], "1": 2},
    "matrix": {"days": [7, 7.0, "7", True], "city": ["São Paulo", "no"]},
}
OTHER: dict[str, list[Any]] = {
    "parameters": [{}, PARAMETERS],
    "schedule_parameters": [{"start": "{today-30d}", "month": "{today-1m:%Y-%m}", "n": 7, "text": "yes"}],
    "allow_secret_parameters": [True],
    "env": [{"A": "", "B": "1e3", "C": "yes", "D": "a,b=c", "E": "é"}],
    "secrets": [{"MAPS_KEY": "projects/my-project/secrets/maps-key/versions/3", "NO": "projects/p-12345/secrets/s/versions/latest"}],
    "expect": [
        (Expectation("outputs/*.csv"), Expectation("outputs/a,b.csv", 10_240), Expectation("none", 0)),
        (Expectation(" 1", 2),),
    ],
    "fail_on": [("shell", "widget"), None],
    "index_url": ["https://packages.example.com/simple"],
    "kernel": ["python3", "null", "1e3", "none"],
    "zones": [("us-east1-b", "europe-west1")],
    "machine_type": ["g2-standard-4", "n1-standard-4"],
    "boot_disk_gb": [55],
    "boot_disk_type": ["pd-ssd"],
    "secure_boot": [True, False],
    "network": ["ci", None],
    "subnetwork": ["projects/my-project/regions/us-central1/subnetworks/ci-us"],
    "external_ip": [True],
    "vm_service_account": ["another@my-project.iam.gserviceaccount.com"],
    "labels": [{"team": "1e3", "on": "no", "empty": ""}],
    "provisioning": ["spot", "spot-then-standard"],
    "timeout": [1],
    "cell_timeout": [60],
    "boot_timeout": [2],
    "setup_timeout": [3],
    "requirements_timeout": [4],
    "max_attempts": [1],
}  # fmt: skip
# Those that read back as another option, or that need another one beside them: each has a test below.
BY_THEMSELVES = {
    "accelerator", "setup", "requirements", "ca_bundle", "include", "image_family", "image", "image_project", "parameters_file"
}  # fmt: skip


def test_every_field_is_tested() -> None:
    assert {one.name for one in fields(JobOptions)} == OTHER.keys() | BY_THEMSELVES


def test_the_defaults_read_back() -> None:
    unchanged(BASE)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in OTHER.items() for value in values],
    ids=[f"{name}-{number}" for name, values in OTHER.items() for number in range(len(values))],
)
def test_a_field_reads_back(name: str, value: Any) -> None:
    beside: dict[str, Any] = {"subnetwork": "ci-us"} if name == "network" and value is None else {}
    changed = replace(BASE, **{name: value}, **beside)
    back = read_back(changed)
    assert back == exported(changed)
    # 1, 1.0 and True are equal, and so are texts that print alike.
    assert json.dumps(getattr(back, name), default=str) == json.dumps(value, default=str)


def test_a_gpu_reads_back() -> None:
    unchanged(replace(BASE, machine_type="n1-standard-4", accelerator=Accelerator("nvidia-tesla-t4", 2)))


def test_the_exact_image_stands_for_whatever_named_it() -> None:
    for options in (BASE, replace(BASE, image_family=None, image="older", image_project="theirs")):
        back = read_back(options)
        assert (back.image_family, back.image, back.image_project) == (None, "nb-v20260701", "my-images")
    whole = "https://compute.googleapis.com/compute/v1/projects/example.com:p-12345/global/images/i"
    entry = entry_of(PATH, exported(BASE, image=whole))
    assert (entry["image_project"], entry["image"]) == ("example.com:p-12345", "i")
    with pytest.raises(ValueError, match="no image's path"):
        exported(BASE, image="family:x")


@pytest.mark.parametrize("bundle", ["gs://my-bucket/proxy.pem", "certs/proxy.pem", "./none", " a.pem"])
def test_certificates_read_back(bundle: str) -> None:
    path = bundle.removeprefix("./")
    assert read_back(BASE, Preparation(ca_bundle=path)).ca_bundle == path


def test_paths_count_from_the_repositorys_root_and_files_are_the_manifests() -> None:
    options = replace(
        BASE,
        setup="s.sh",
        requirements="r.txt",
        ca_bundle="proxy.pem",
        include=("**",),
        parameters_file="p.yaml",
        parameters={"a": 1},
    )
    wanted = Requirements("none", ("none",), (), require_hashes=False)
    prepared = Preparation("sub/s.sh", wanted, "sub/proxy.pem")
    back = read_back(options, prepared)
    assert (back.setup, back.requirements, back.include) == ("sub/s.sh", "none", None)
    assert (back.ca_bundle, back.parameters_file, back.parameters) == ("sub/proxy.pem", None, {"a": 1})
    assert "include" not in entry_of(PATH, exported(options, prepared))


@pytest.mark.parametrize(
    "path",
    [" a.ipynb", "a, b.ipynb", "a[1].ipynb", "#a.ipynb", "é.ipynb", "!a.ipynb"],
    ids=["leading space", "comma", "brackets", "leading hash", "not ASCII", "leading exclamation mark"],
)
def test_a_notebooks_path_reads_back(path: str) -> None:
    read_back(BASE, path=path)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(TRAPS)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(
    JSON, st.lists(JSON, min_size=1, max_size=3, unique_by=lambda value: json.dumps(value, sort_keys=True))
)
def test_any_parameter_reads_back(value: Any, values: list[Any]) -> None:
    given = {"value": value, "matrix": {"other": values}}
    back = read_back(replace(BASE, parameters=given, allow_secret_parameters=True))
    assert json.dumps(back.parameters) == json.dumps(given)


@given(st.dictionaries(st.sampled_from("ABCD"), st.text(max_size=10)))
def test_any_variable_that_can_be_given_reads_back(env: dict[str, str]) -> None:
    file = notebooks_json(load(), [{"path": PATH, "env": env}])
    try:
        options = load_options([], MINIMAL, {"notebooks.yaml": file}.get)
    except BadInput:
        return
    unchanged(options.notebooks[0].options)


# Options of the run that scheduled runs do without, or get in another way.
NOT_EXPORTED = {
    "notebooks",  # the entries of the document
    "reuse_green",  # a scheduled run never reuses
    "log_format",  # the alerts of docs/deploy.md read text
    "gcs_location",  # in the environment of the live build
    "run_id",
    "output",  # versions/<date>
}


def test_every_option_of_the_run_is_exported_or_not_on_purpose() -> None:
    document = json.loads(notebooks_json(load(NB_ALERT_TOPIC="projects/my-project/topics/red"), []))
    known = {"notebooks", *document, *NOT_EXPORTED}
    options = {each.name for each in OPTIONS if each.scope == "run" and each.in_file}
    undecided = {name for name in options - known if BY_NAME[name].group != DEPLOYMENT}
    assert not undecided, (
        f"scheduled runs lack {sorted(undecided)}: put them into _OF_THE_RUN of builder/deploy/export_options.py or into NOT_EXPORTED"
    )


def test_what_is_the_runs_own() -> None:
    options = load(
        NB_CONCURRENCY="3",
        NB_FAIL_FAST="true",
        NB_TIME_ZONE="Europe/Paris",
        NB_ALERT_TOPIC="projects/my-project/topics/red",
        NB_RUN_ID="mine",
        NB_OUTPUT="results/<run>/mine",
    )
    entries = [entry_of(PATH, exported(BASE))]
    document = json.loads(notebooks_json(options, entries))
    assert document.pop("notebooks") == entries
    assert document == {
        "concurrency": 3,
        "fail_fast": True,
        "time_zone": "Europe/Paris",
        "alert_topic": "projects/my-project/topics/red",
    }
    back = load_options(
        [],
        {"NB_CONFIG": CONFIG, "NB_GCS_LOCATION": "gs://nb-test/ci"},
        {CONFIG: notebooks_json(options, entries)}.get,
    )
    for name in ("concurrency", "fail_fast", "time_zone", "alert_topic"):
        assert getattr(back, name) == getattr(options, name)
    assert (back.run_id, back.output) == (None, "results/<run>")


def test_a_document_of_any_length_is_read() -> None:
    """YAML is read up to 64 Ki characters, since its reader is slow; JSON beyond them, too."""
    long = replace(BASE, parameters={"text": "x" * MAX_TEXT, "lists": list(range(30_000))})
    unchanged(long)
    text = notebooks_json(load(), [entry_of(PATH, exported(long))])
    for wrong, words in (
        (text.replace('"timeout": 2400', '"timeout": "soon"'), "notebooks[0].timeout is 'soon'"),
        (text.replace('"timeout": 2400', '"timeout": 1, "timeout": 2'), "given twice"),
        (text.replace('"timeout": 2400', '"timeout": NaN'), "finite"),
        (text.replace('"timeout": 2400', '"timeout"'), "this is no JSON"),
        (text.replace("[", "[" * 50_000, 1), "levels of nesting"),
    ):
        with pytest.raises(BadInput, match=r"notebooks\.json") as caught:
            load_options([], {"NB_CONFIG": CONFIG, "NB_GCS_LOCATION": "gs://nb-test/ci"}, {CONFIG: wrong}.get)
        assert words in str(caught.value), str(caught.value)
        assert "line 0" not in str(caught.value)
