"""The first commands in a new project: each says what is missing, and the command that adds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cloud_fixture import NOTEBOOK
from tests.patience import PATIENCE

ENTRYPOINT = Path(__file__).parents[2] / "entrypoint.py"
OPTIONS = {
    "NB_NOTEBOOKS": "report.ipynb",
    "NB_GCS_LOCATION": "gs://local-project-notebooks/notebooks",
    "NB_VM_SERVICE_ACCOUNT": "notebook-vm@local-project.iam.gserviceaccount.com",
    "NB_FUNCTION": "nightly",
    "NB_TOPIC": "nightly",
    "NB_SCHEDULE": "0 6 * * *",
    "NB_REGION": "us-central1",
    "NB_BUILDER_IMAGE": "us-central1-docker.pkg.dev/local-project/notebook-builder/notebook-builder:0.1",
    "BUILD_ID": "build-1",
    "COMMIT_SHA": "0123456789abcdef0123456789abcdef01234567",
}
BUCKET = "gcloud storage buckets create gs://local-project-notebooks"
SET_UP = "setup/project.sh --project local-project --region us-central1 --bucket local-project-notebooks --prefix notebooks"
# The build's account and the VM's can be asked for once the API of accounts is enabled.
RUN = (BUCKET, *(f"gcloud services enable {name}.googleapis.com" for name in ("compute", "iam")))
DEPLOYED = ("pubsub", "cloudfunctions", "run", "cloudscheduler", "cloudbuild", "iam")
ADVICE = {
    "check": RUN,
    "run": (*RUN, f"Notebook Builder: {SET_UP}\n"),
    "deploy": (
        BUCKET,
        *(f"gcloud services enable {name}.googleapis.com" for name in DEPLOYED),
        f"Notebook Builder: {SET_UP} --schedule\n",
    ),
}


@pytest.mark.always(1)
@pytest.mark.parametrize("command", ["check", "run", "deploy"])
def test_what_is_missing_comes_with_its_command(command: str, tmp_path: Path) -> None:
    (tmp_path / "report.ipynb").write_text(json.dumps(NOTEBOOK))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "localcloud", "exec", "--project", "empty", "--"),
            *(sys.executable, str(ENTRYPOINT), command),
        ],
        cwd=tmp_path,
        env={**os.environ, **OPTIONS, "PYTHONPATH": str(ENTRYPOINT.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 4, said
    for advice in ADVICE[command]:
        assert advice in said
