"""setup/*.sh with the real gcloud.

What they make of a new project, that it is enough, and that they take it away again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gcloud_commands import ROOT
from tests.unit.good_attempt import code, notebook_json

pytestmark = [pytest.mark.needs("gcloud"), pytest.mark.timeout(3000)]

NAMES = "--project local-project --region us-central1 --bucket local-project-notebooks"
PROJECT = f"{ROOT}/setup/project.sh {NAMES}"
# In the default project, the addresses have no paths. gcloud wants those that `--project empty` gives it.
ADDRESSES = """
for name in ${!CLOUDSDK_API_ENDPOINT_OVERRIDES_@}; do
  case $name in *_COMPUTE) path=compute/v1/ ;; *_STORAGE) path=storage/v1/ ;; *) path= ;; esac
  export "$name=${!name}/$path"
done
"""
UNCHANGED = "Nothing to change: the project is set up."


def in_cloud(script: str, *, project: str, state: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script of bash as the command of `exec`, and check that localcloud found no call wrong."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "localcloud", "exec", "--project", project, "--state", str(state)),
            *("--", "bash", "-euo", "pipefail", "-c", script),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=2900,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]
    inventory = json.loads((state / "inventory.json").read_text(encoding="utf-8"))
    assert inventory.get("schema_violations", []) == inventory.get("internal_errors", []) == []
    return done


def test_a_new_project_is_set_up_used_and_left(tmp_path: Path) -> None:
    """The example runs and is deployed, a repository of one notebook runs. Nothing has to be set up again."""
    shutil.copytree(ROOT / "examples" / "bike-share", tmp_path / "example")
    small = tmp_path / "small"
    small.mkdir()
    (small / "demo.ipynb").write_text(json.dumps(notebook_json(code(1, "print(1)"))), encoding="utf-8")
    (small / "notebooks.yaml").write_text("notebooks: [{path: demo.ipynb}]\n", encoding="utf-8")
    page = (ROOT / "docs" / "setup.md").read_text(encoding="utf-8")
    (small / "cloudbuild.yaml").write_text(
        page.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8"
    )
    submit = "python -m localcloud submit --region=us-central1 --substitutions"
    script = f"""
    {PROJECT} --schedule
    cd example && git init -q -b main . && git add -A
    git -c user.name=me -c user.email=me@example.com commit -qm example
    {submit} _INDEX= --commit .
    cd ..
    (cd small && {submit} _COMMAND=check . && {submit} _COMMAND=run .)
    {PROJECT} --schedule
    printf 'notebook-builder\\ngcf-artifacts\\nlocal-project-notebooks\\n' | {ROOT}/setup/remove.sh {NAMES}
    gcloud iam service-accounts list --format='value(email)' --filter='email~notebook'
    gcloud projects get-iam-policy local-project --flatten='bindings[].members' --format='value(bindings.members)' >policy
    """
    done = in_cloud(script, project="empty", state=tmp_path / "cloud", folder=tmp_path)
    made, _, rest = done.stdout.partition("What comes next:")
    assert "The project is set up. Changes: " in made
    assert done.stdout.count("verdict: GREEN") >= 2
    again, _, removed = rest.rpartition("What comes next:")
    assert again.rstrip().endswith(UNCHANGED)
    assert "delete the account notebook-vm" in removed
    assert "The APIs stay enabled" in removed.splitlines()[-1]
    left = (tmp_path / "policy").read_text(encoding="utf-8").splitlines()
    assert not [member for member in left if "notebook" in member]


def test_the_default_project_is_what_the_script_makes(tmp_path: Path) -> None:
    script = f"export CLOUDSDK_CONFIG={tmp_path}/gcloud\n{ADDRESSES}{PROJECT} --schedule"
    done = in_cloud(script, project="default", state=tmp_path / "cloud", folder=tmp_path)
    assert done.stdout.startswith(UNCHANGED)
