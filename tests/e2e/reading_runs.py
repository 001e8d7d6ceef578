"""The runs whose last lines docs/reading-a-run.md shows: one for each exit code, on a local cloud."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import Cloud
from tests.e2e.builder_process import BUCKET, ROOT, Builder, Repo, notebook, until
from tests.patience import PATIENCE

PAGE = ROOT / "docs" / "reading-a-run.md"
_FOREIGN = "notebook-vm@another-project.iam.gserviceaccount.com"

NOTEBOOKS = {
    "demo.ipynb": notebook("print('hello')"),
    "sales.ipynb": notebook(
        "rows = []",
        "# The mean of all rows\ntotal = sum(rows)\nmean = total / len(rows)\nprint(mean)",
    ),
    "slow.ipynb": notebook("import time\ntime.sleep(3600)"),
}
# Each run has a zone of its own, which its faults are for.
_ZONES = {
    "0": "us-central1-a",
    "1": "us-central1-b",
    "3": "us-east1-b",
    "4": "us-central1-c",
    "5": "us-central1-f",
    "6": "us-east1-c",
    "7": "us-east1-d",
    "143": "us-west1-b",
}
_NO_ROOM = "The zone does not have enough resources available to fulfill the request."
FAULTS: list[dict[str, Any]] = [
    {
        "method": "compute.instances.insert",
        "action": "operation_error",
        "match": {"zone": _ZONES["3"]},
        "args": {"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": _NO_ROOM},
    },
    {"method": "vm.boot", "action": "idle", "match": {"zone": _ZONES["6"]}},
    {"method": "vm.boot", "action": "idle", "match": {"zone": _ZONES["143"]}},
]
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "0": {"NB_NOTEBOOKS": "demo.ipynb"},
    "1": {"NB_NOTEBOOKS": "sales.ipynb"},
    "2": {"NB_NOTEBOOKS": "demos.ipynb", "NB_TIMEOUT": "soon", "NB_MACHINE_TYP": "e2-standard-8"},
    "3": {"NB_NOTEBOOKS": "demo.ipynb"},
    "4": {"NB_NOTEBOOKS": "demo.ipynb", "NB_VM_SERVICE_ACCOUNT": _FOREIGN},
    "5": {"NB_NOTEBOOKS": "slow.ipynb", "NB_TIMEOUT": "30"},
    "6": {"NB_NOTEBOOKS": "demo.ipynb", "NB_BOOT_TIMEOUT": "10", "NB_MAX_ATTEMPTS": "1"},
    "7": {"NB_NOTEBOOKS": "demo.ipynb"},
    "143": {"NB_NOTEBOOKS": "demo.ipynb"},
}
_START = "import sys; from builder.cli import main; sys.argv = ['entrypoint.py', 'run']; {}; sys.exit(main())"
# A builder with a mistake in its own code; one that tries to delete a VM for 20 seconds instead of three minutes; and
# one that, on a busy machine too, waits until its deletes are accepted.
_BUG = _START.format("import builder.act.run as run; run.claim_run_id = lambda *_: {}['run']")
_HASTY = _START.format("from builder.act.fleet import Fleet; Fleet.take_down.__kwdefaults__['budget'] = 20.0")
_PATIENT = _START.format("import builder.act.fleet as fleet; fleet.ABANDON_BUDGET = 120.0")


def logs(folder: Path) -> dict[str, str]:
    """Run each, three at a time, and return by exit code what the page shows of its log."""
    (folder / "repo").mkdir()
    repo = Repo(folder / "repo")
    repo.git("init", "--quiet", "--initial-branch=main")
    repo.write(NOTEBOOKS)
    with Cloud(folder / "cloud", buckets=[BUCKET], faults=FAULTS) as cloud:
        runs = {code: partial(_log, cloud, repo, code) for code in OPTIONS}
        runs |= {
            "7": partial(_not_cleaned_up, cloud, repo),
            "70": partial(_with_a_bug, cloud, repo),
            "143": partial(_cancelled, cloud, repo),
        }
        with ThreadPoolExecutor(3) as pool:
            found = dict(zip(runs, pool.map(lambda run: run(), runs.values()), strict=True))
        cloud.clock.advance(20_000)  # ends the VM that could not be deleted
        until(lambda: cloud.inventory()["compute.instances"] == [], "no VMs")
        inventory = cloud.inventory()
    assert inventory["schema_violations"] == []
    assert [fault for fault in inventory["faults"] if not fault["consumed"]] == []
    return {code: plain(shown(output)) for code, output in found.items()}


def _options(code: str) -> dict[str, str]:
    zone = {"NB_ZONES": _ZONES[code]} if code in _ZONES else {}
    return {**OPTIONS[code], **zone}


def _log(cloud: Cloud, repo: Repo, code: str) -> str:
    builder = Builder(cloud, repo.folder, patience=PATIENCE)
    done = builder.run(**_options(code))
    assert str(done.code) == code, done.output
    return done.output


def _not_cleaned_up(cloud: Cloud, repo: Repo) -> str:
    """The builder may not delete the VM of a green notebook, and from then on not read it either."""
    refused = _refused("delete")
    cloud.faults.add(refused)
    process = _started(cloud, repo, _HASTY, _options("7"))
    until(
        lambda: any(_is(fault, refused) and fault["consumed"] for fault in cloud.inventory()["faults"]),
        "a delete",
    )
    cloud.faults.add(_refused("get"))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 7, output
    return output


def _refused(call: str) -> dict[str, Any]:
    method = f"compute.instances.{call}"
    refusal = {"status": 403, "message": f"Required '{method}' permission for this VM"}
    match = {"zone": _ZONES["7"]}
    return {"method": method, "action": "error", "match": match, "times": 10_000, "args": refusal}


def _is(planned: Mapping[str, Any], fault: Mapping[str, Any]) -> bool:
    return all(planned[name] == fault[name] for name in ("method", "match"))


def _cancelled(cloud: Cloud, repo: Repo) -> str:
    process = _started(cloud, repo, _PATIENT, _options("143"))

    def runs() -> bool:
        vms = cloud.inventory()["compute.instances"]
        return any(vm["status"] == "RUNNING" and vm["zone"] == _ZONES["143"] for vm in vms)

    until(runs, "a running VM")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, output
    return output


def _with_a_bug(cloud: Cloud, repo: Repo) -> str:
    process = _started(cloud, repo, _BUG, {"NB_NOTEBOOKS": "demo.ipynb"})
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 70, output
    return output


def _started(cloud: Cloud, repo: Repo, code: str, options: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a builder that is changed by this code first."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=repo.folder,
        env=Builder(cloud, repo.folder).environment(PYTHONPATH=str(ROOT), **options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def shown(output: str) -> str:
    """Return what the page shows of a log: from the verdict on a red notebook on, else the last lines.

    The line about the deletion of a VM is left out: it can come before the verdict or after it.
    """
    lines = [line for line in output.splitlines() if not re.search(r" VM \S+ deleted$", line)]
    bar = max(number for number, line in enumerate(lines) if line.startswith("-----"))
    judged = [number for number, line in enumerate(lines[:bar]) if re.match(r"\S+ +RED after", line)]
    traces = [line for line in lines[:bar] if line.startswith("ERROR builder.")]
    return "\n".join([*traces[:1], *lines[(judged or [bar])[0] :]])


# What differs between two runs, and what a project would have in its place.
_VARYING = (
    (r"gs://nb-test/t-[0-9a-f]{8}", "gs://my-bucket/ci"),
    (r"nb-test/t-[0-9a-f]{8}", "my-bucket/ci"),
    (r"run-[0-9a-f]{8}", "BUILD_ID"),
    (r"local-project", "my-project"),
    (r"nb-[0-9a-f]{12}-a", "nb-1a2b3c4d5e6f-a"),
    (r"after (?:\d+ min )?[\d.]+ s", "after 40 s"),
    (r"at most \d+ s", "at most 3900 s"),
    (r"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d)", "2026-07-01T06:40:00+00:00"),
    (r"attempt-(\d+)-[0-9a-f]{32}", r"attempt-\1-RANDOM"),
)


def plain(log: str) -> str:
    """Return the log without what differs between two runs."""
    for pattern, replacement in _VARYING:
        log = re.sub(pattern, replacement, log)
    return log


def with_logs(page: str, found: Mapping[str, str]) -> str:
    """Return the page with the log of each exit code between its markers."""
    for code, log in found.items():
        before, begin, rest = page.partition(f"<!-- log of {code} -->\n")
        _, end, after = rest.partition(f"<!-- /log of {code} -->")
        if not (begin and end):
            pytest.fail(f"{PAGE.name} has no place for the log of exit code {code}")
        page = f"{before}{begin}\n```\n{log}\n```\n\n{end}{after}"
    return page
