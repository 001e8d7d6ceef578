"""docs/pull-requests.md: what its build file pins, a file of the repository cannot change."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from builder.errors import BadInput
from builder.options.table import BY_ENV
from builder.plan.build_plan import build_plan
from builder.plan.choose import choose
from builder.plan.event import run_request
from builder.plan.workspace import Workspace
from tests.gcloud_commands import ROOT
from tests.loading import load_options
from tests.unit.good_attempt import code, notebook_json

PAGE = (ROOT / "docs" / "pull-requests.md").read_text(encoding="utf-8")
(BUILD_FILE,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PINS: Mapping[str, str] = dict(
    line.replace("$PROJECT_ID", "my-project").split("=", 1)
    for line in yaml.safe_load(BUILD_FILE)["options"]["env"]
)
OTHER = {
    "gcs_location": "gs://other-bucket/other",
    "vm_service_account": "other-account@my-project.iam.gserviceaccount.com",
    "machine_type": "n1-standard-96",
    "boot_disk_gb": 4000,
    "zones": "europe-west4-a",
    "network": "other",
    "external_ip": True,
    "concurrency": 100,
    "timeout": 86000,
    "max_attempts": 10,
    "reuse_green": "never",
}
RUN_OPTIONS = {"gcs_location", "concurrency", "reuse_green"}


def options(pins: Mapping[str, str], settings: Mapping[str, object]) -> Mapping[str, object]:
    """Return the values of all options that the page pins, as loaded beside these settings in notebooks.yaml."""
    per_notebook = {name: value for name, value in settings.items() if name not in RUN_OPTIONS}
    document = {**settings, "notebooks": [{"path": "demo.ipynb", **per_notebook}]}
    loaded = load_options(
        ["plan"],
        {"PROJECT_ID": "my-project", **pins},
        lambda name: json.dumps(document) if name == "notebooks.yaml" else None,
    )
    job = loaded.by_path["demo.ipynb"]
    return {
        option.name: getattr(loaded if option.scope == "run" else job, option.name)
        for option in map(BY_ENV.__getitem__, PINS)
    }


def test_what_the_trigger_pins_no_file_changes() -> None:
    assert {BY_ENV[name].name for name in PINS} == {*OTHER, "max_vm_hours"}
    assert options(PINS, OTHER) == options(PINS, {})


def test_without_the_pins_the_file_decides() -> None:
    """So that the test above can fail."""
    unpinned = options({}, OTHER)
    assert {name for name, value in options(PINS, OTHER).items() if value == unpinned[name]} == set()


def test_no_file_raises_the_bound_of_hours() -> None:
    with pytest.raises(BadInput) as refused:
        options(PINS, {"max_vm_hours": 1000})
    assert "cannot be set in the file itself" in str(refused.value)


@pytest.mark.parametrize(("hours", "fits"), [(5, False), (6, True)])
def test_a_run_that_can_ask_for_more_vms_is_refused_before_any_call(
    hours: int, *, fits: bool, tmp_path: Path
) -> None:
    """The bound counts each attempt of each point of a matrix: 2 points, 3 attempts, a VM that lives nearly an hour."""
    (tmp_path / "demo.ipynb").write_text(
        json.dumps(notebook_json(code(1, "day = 1", "parameters"))), encoding="utf-8"
    )
    settings = {"notebooks": [{"path": "demo.ipynb", "parameters": {"matrix": {"day": [1, 2]}}}]}
    loaded = load_options(
        ["plan"],
        {
            "PROJECT_ID": "my-project",
            "NB_GCS_LOCATION": "gs://my-bucket/ci",
            "NB_VM_SERVICE_ACCOUNT": PINS["NB_VM_SERVICE_ACCOUNT"],
            "NB_TIMEOUT": "2000",
            "NB_MAX_VM_HOURS": str(hours),
        },
        lambda name: json.dumps(settings) if name == "notebooks.yaml" else None,
    )
    request = run_request(loaded, datetime(2026, 7, 1, tzinfo=UTC))
    chosen = choose(loaded, Workspace(tmp_path), request)
    if fits:
        assert 5 * 3600 < build_plan(loaded, chosen, request).vm_seconds < 6 * 3600
    else:
        with pytest.raises(BadInput) as refused:
            build_plan(loaded, chosen, request)
        assert re.search(
            r"NB_MAX_VM_HOURS is '5'.* this run can ask for 5\.\d hours of VMs", str(refused.value)
        )


def test_the_page_explains_each_pin() -> None:
    table = [line for line in PAGE.splitlines() if line.startswith("| `NB_")]
    assert {name for line in table for name in re.findall(r"`(NB_\w+)`", line)} == {*PINS}


def test_a_pull_request_from_outside_waits_for_a_maintainer_and_its_build_cannot_deploy() -> None:
    (trigger,) = re.findall(
        r"^ *gcloud builds triggers create github .*?[^\\]$", PAGE, re.MULTILINE | re.DOTALL
    )
    assert "--comment-control=COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY" in trigger
    assert "/notebook-builder@" in trigger
