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
PAGES = ["README.md", "docs/setup.md"]
FENCED = re.compile(r"^( *)```yaml\n( *steps:\n.*?)^ *```$", re.MULTILINE | re.DOTALL)


def build_file(name: str) -> str:
    """Return the one build file in a page; it may be indented, as part of a list."""
    (shown,) = FENCED.findall((ROOT / name).read_text())
    return textwrap.dedent(shown[1])


@pytest.mark.parametrize("name", FILES)
def test_build_file_is_accepted(name: str) -> None:
    found = faults(read(name, (ROOT / name).read_bytes()), {})
    assert list(map(str, found)) == []


@pytest.mark.parametrize("name", PAGES)
def test_build_file_on_a_page_is_accepted(name: str) -> None:
    assert list(map(str, faults(read(name, build_file(name).encode()), {}))) == []


@pytest.mark.parametrize("name", PAGES)
def test_build_file_on_a_page_names_its_account_and_hands_the_step_the_builds_id(name: str) -> None:
    file = yaml.load(build_file(name), Loader=yaml.CSafeLoader)
    assert (
        file["serviceAccount"]
        == "projects/$PROJECT_ID/serviceAccounts/notebook-builder@$PROJECT_ID.iam.gserviceaccount.com"
    )
    assert file["options"]["automapSubstitutions"] is True


def test_the_build_of_the_set_up_page_checks_before_it_runs(tmp_path: Path) -> None:
    """The first build, as in docs/setup.md, only checks that the second one can run, as the account of both."""
    (tmp_path / "cloudbuild.yaml").write_text(build_file("docs/setup.md"))
    (tmp_path / "notebooks.yaml").write_text("notebooks: [{path: demo.ipynb}]\n")
    shutil.copy(ROOT / "examples/bike-share/demo.ipynb", tmp_path)
    command = [
        sys.executable,
        "-m",
        "localcloud",
        "submit",
        "--region=us-central1",
        "--substitutions=_COMMAND=check",
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
