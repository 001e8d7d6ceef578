"""The build files of this repo and of its pages pass all checks of `submit`."""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from localcloud.cli.submit.checking import faults
from localcloud.cli.submit.reading import read
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[3]
FILES = [
    "cloudbuild.yaml",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*/cloudbuild.yaml")),
]
FENCED = re.compile(r"^( *)```yaml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
EXAMPLE = ROOT / "examples/bike-share"


def shown(page: str, key: str) -> str:
    """Return the one YAML file in a page that has a key; it may be indented, as part of a list."""
    blocks = [textwrap.dedent(block) for _, block in FENCED.findall((ROOT / page).read_text())]
    (file,) = [block for block in blocks if key in yaml.load(block, Loader=yaml.CSafeLoader)]
    return file


def build_file() -> str:
    """Return the first build file of a user, which only one page shows."""
    return shown("docs/setup.md", "steps")


@pytest.mark.parametrize("name", FILES)
def test_build_file_is_accepted(name: str) -> None:
    found = faults(read(name, (ROOT / name).read_bytes()), {})
    assert list(map(str, found)) == []


def test_build_file_of_the_set_up_page_is_accepted() -> None:
    assert list(map(str, faults(read("docs/setup.md", build_file().encode()), {}))) == []


def test_build_file_of_the_set_up_page_names_its_account_and_hands_the_step_the_builds_id() -> None:
    file = yaml.load(build_file(), Loader=yaml.CSafeLoader)
    assert (
        file["serviceAccount"]
        == "projects/$PROJECT_ID/serviceAccounts/notebook-builder@$PROJECT_ID.iam.gserviceaccount.com"
    )
    assert file["options"]["automapSubstitutions"] is True


def test_the_build_of_the_set_up_page_checks_before_it_runs(tmp_path: Path) -> None:
    """The first build, as in docs/setup.md, only checks that the second one can run, as the account of both.

    With the `notebooks.yaml` of README.md, and without the mirror, which localcloud does not have.
    """
    (tmp_path / "cloudbuild.yaml").write_text(build_file())
    (tmp_path / "notebooks.yaml").write_text(shown("README.md", "notebooks"))
    shutil.copy(EXAMPLE / "demo.ipynb", tmp_path)
    shutil.copy(EXAMPLE / "requirements.txt", tmp_path)
    command = [
        sys.executable,
        "-m",
        "localcloud",
        "submit",
        "--region=us-central1",
        "--substitutions=_COMMAND=check,_INDEX=",
        ".",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "check as notebook-builder@local-project.iam.gserviceaccount.com in project local-project"
        in done.stdout
    )
    assert "verdict: GREEN, this plan can run" in done.stdout
