"""The build files of this repo, and those that its pages show, pass all checks that `submit` makes before it sends one."""

import re
from pathlib import Path

import pytest

from localcloud.submit.checking import faults
from localcloud.submit.reading import read

ROOT = Path(__file__).parents[3]
FILES = [
    "cloudbuild.yaml",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*/cloudbuild.yaml")),
]
PAGES = ["README.md", "docs/setup.md"]
FENCED = re.compile(r"^```yaml\n(steps:\n.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", FILES)
def test_build_file_is_accepted(name: str) -> None:
    found = faults(read(name, (ROOT / name).read_bytes()), {})
    assert list(map(str, found)) == []


@pytest.mark.parametrize("name", PAGES)
def test_build_file_on_a_page_is_accepted(name: str) -> None:
    shown = FENCED.findall((ROOT / name).read_text())
    assert len(shown) == 1
    assert list(map(str, faults(read(name, shown[0].encode()), {}))) == []
