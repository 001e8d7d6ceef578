"""`check` as a build runs it: table, JSON, exit codes, and who it is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema

from tests.e2e.builder_process import BUCKET, ROOT, VM_ACCOUNT, Builder, Repo, notebook
from tests.patience import PATIENCE

BUILDER = "notebook-builder@local-project.iam.gserviceaccount.com"
_TEXT = {"type": "string"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "schema": {"const": 1},
        "project": _TEXT,
        "account": _TEXT,
        "location": _TEXT,
        "exit_code": {"enum": [0, 2, 3, 4, 6]},
        "rows": {
            "type": "array",
            "minItems": 10,
            "items": {
                "type": "object",
                "properties": {
                    "what": _TEXT,
                    "where": _TEXT,
                    "state": {"enum": ["ok", "no", "FAIL", "unknown"]},
                    "found": _TEXT,
                    "fix": _TEXT,
                    "code": {"enum": [0, 2, 3, 4, 6]},
                },
                "required": ["what", "where", "state", "found", "fix", "code"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["schema", "project", "account", "location", "exit_code", "rows"],
    "additionalProperties": False,
}


def check(builder: Builder, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    """Run `check`, stdout and stderr apart."""
    command = [sys.executable, str(ROOT / "entrypoint.py"), "check", *arguments]
    environment = builder.environment(NB_NOTEBOOKS="demo.ipynb", NB_ZONES="us-central1-a", **options)
    return subprocess.run(
        command,
        cwd=builder.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_a_plan_that_can_run_is_0_and_the_table_says_why(builder: Builder, repo: Repo) -> None:
    repo.write({"demo.ipynb": notebook("1")})
    done = check(builder)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0].startswith(f"check as {BUILDER} in project local-project, gs://{BUCKET}/")
    for row in (
        f"ok account {BUILDER}: `check` runs as this account, and checks the permissions of this account only",
        "ok API compute.googleapis.com: enabled, answers",
        "ok permissions projects/local-project: all 22 that docs/accounts.md lists",
        f"ok bucket gs://{BUCKET}: exists, in US-CENTRAL1",
        f"ok act as {VM_ACCOUNT}: iam.serviceAccounts.actAs is granted",
        "ok machine type us-central1-a: e2-standard-4, 4 vCPUs",
        "ok subnetwork us-central1/default: exists, with Private Google Access",
    ):
        assert row in lines, done.stdout
    assert lines[-1] == "verdict: GREEN, this plan can run: 20 ok, 1 unknown (exit code 0)"
    assert builder.left() == []


def test_json_holds_the_same_and_nothing_else_is_printed(builder: Builder, repo: Repo) -> None:
    repo.write({"demo.ipynb": notebook("1")})
    for options, code in ({}, 0), ({"NB_NETWORK": "nothing", "NB_MACHINE_TYPE": "e2-standard-5"}, 4):
        done = check(builder, "--format", "json", **options)
        found = json.loads(done.stdout)
        jsonschema.validate(found, SCHEMA)
        assert (done.returncode, done.stderr, found["exit_code"]) == (code, "", code)
        assert (found["account"], found["project"]) == (BUILDER, "local-project")
        failed = {row["what"]: row["code"] for row in found["rows"] if row["state"] == "FAIL"}
        assert failed == ({"machine type": 2, "network": 4} if code else {})
        assert all(row["fix"] for row in found["rows"] if row["state"] == "FAIL")


def test_bad_input_is_2_before_anything_is_asked(builder: Builder, repo: Repo) -> None:
    repo.write({"demo.ipynb": notebook("1")})
    before = builder.cloud.inventory()["calls"]
    done = check(builder, NB_TIMEOUT="soon", NB_VM_SERVICE_ACCOUNT="me")
    assert (done.returncode, done.stdout) == (2, "")
    assert "2 mistakes found before any call" in done.stderr
    assert builder.cloud.inventory()["calls"] == before
