"""Commands of the image that call nothing: they work without any network."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from packaging.utils import canonicalize_name

from builder.deploy.function_source import function_source
from tests.e2e.builder_process import notebook
from tests.image.engine import Engine
from tests.image.steps import Steps

NEEDED = {
    "NB_GCS_LOCATION": "gs://a-bucket/ci",
    "NB_VM_SERVICE_ACCOUNT": "notebook-vm@a-project.iam.gserviceaccount.com",
}
# Prints name and version of each package that is installed for the builder.
_INSTALLED = """
import importlib.metadata, json, pathlib
folders = {str(found.parent) for found in pathlib.Path("/opt/notebook-builder").rglob("*.dist-info")}
print(json.dumps(sorted((each.name, each.version) for each in importlib.metadata.distributions(path=sorted(folders)))))
"""
# Prints the names of the files in the archive that `deploy` makes of the image's own code.
_SOURCE_NAMES = """
import io, sys, zipfile
sys.path.insert(0, "/opt/notebook-builder")
from builder.deploy.function_source import function_source
print(*zipfile.ZipFile(io.BytesIO(function_source().zip)).namelist(), sep="\\n")
"""


def test_help_and_options(closed_steps: Steps) -> None:
    told = closed_steps.run("--help")
    assert told.code == 0
    assert "run" in told.output
    assert "deploy" in told.output
    schema = closed_steps.run("options", "--format", "json-schema")
    assert schema.code == 0
    assert "gcs_location" in json.loads(schema.output)["properties"]


def test_plan_names_what_would_run(closed_steps: Steps, tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books/demo.ipynb").write_text(notebook("1"))
    closed_steps.workspace(tmp_path)
    planned = closed_steps.run("plan", "--format", "json", NB_NOTEBOOKS="books/demo.ipynb", **NEEDED)
    assert planned.code == 0, planned.output
    assert [job["notebook"] for job in json.loads(planned.output)["jobs"]] == ["books/demo.ipynb"]


def test_plan_knows_time_zones_that_the_base_has_not(closed_steps: Steps, tmp_path: Path) -> None:
    (tmp_path / "demo.ipynb").write_text(notebook(("day = ''", ["parameters"])))
    closed_steps.workspace(tmp_path)
    given = {
        "NB_NOTEBOOKS": "demo.ipynb",
        "NB_EVENT": "{}",
        "NB_EVENT_TIME": "2018-03-31T23:00:00Z",
        "NB_TIME_ZONE": "Europe/Paris",
        "NB_SCHEDULE_PARAMETERS": '{"day": "{today}"}',
    }
    options = ("--tmpfs", "/usr/share/zoneinfo")
    planned = closed_steps.run("plan", "--format", "json", options=options, **given, **NEEDED)
    assert planned.code == 0, planned.output
    assert [job["parameters"] for job in json.loads(planned.output)["jobs"]] == [{"day": "2018-04-01"}]


def test_function_source_in_the_image_is_that_of_the_checkout(closed_steps: Steps) -> None:
    listed = closed_steps.run("-BEsc", _SOURCE_NAMES, options=("--entrypoint", "python"))
    assert listed.code == 0, listed.output
    here = zipfile.ZipFile(io.BytesIO(function_source().zip)).namelist()
    assert listed.output.split() == here


def test_bad_input_is_reported_with_the_accepted_form(closed_steps: Steps, tmp_path: Path) -> None:
    (tmp_path / "demo.ipynb").write_text(notebook("1"))
    closed_steps.workspace(tmp_path)
    refused = closed_steps.run(NB_NOTEBOOKS="demo.ipynb", NB_TIMEOUT="soon", NB_ZONES="Paris")
    assert refused.code == 2
    for name in ("NB_TIMEOUT", "NB_ZONES", "NB_GCS_LOCATION", "NB_VM_SERVICE_ACCOUNT"):
        assert name in refused.output
    assert "Traceback" not in refused.output


def test_image_has_labels_and_a_list_of_its_contents(closed_steps: Steps, engine: Engine, image: str) -> None:
    labels = json.loads(engine.call("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    kinds = ("licenses", "revision", "source", "version")
    assert all(labels[f"org.opencontainers.image.{kind}"] for kind in kinds)
    listed = contents(closed_steps)
    assert {"papermill", "google-cloud-compute"} <= {name for name, _ in listed}
    answer = json.loads(closed_steps.run("-c", _INSTALLED, options=("--entrypoint", "python")).output)
    installed = {(canonicalize_name(name), version) for name, version in answer}
    assert len(installed) > 20
    assert installed - listed == set()


def contents(steps: Steps) -> set[tuple[str, str]]:
    """Return name and version of each package in the image's list of its contents."""
    reading = "import pathlib; print(pathlib.Path('/opt/notebook-builder/sbom.cdx.json').read_text())"
    document = json.loads(steps.run("-c", reading, options=("--entrypoint", "python")).output)
    assert document["bomFormat"] == "CycloneDX"
    return {(canonicalize_name(part["name"]), part["version"]) for part in document["components"]}
