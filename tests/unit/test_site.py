"""The documentation site has every page, and the files that pages name exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def pages(nav: list[dict[str, Any]]) -> Iterator[str]:
    """Every page of the navigation, as a path from the root."""
    for entry in nav:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from pages(target)


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    config = tomllib.loads((ROOT / "docs/site/zensical.toml").read_text(encoding="utf-8"))
    listed = set(pages(config["project"]["nav"]))
    assert {path for path in listed if not (ROOT / path).is_file()} == set()
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} - listed == set()


def test_files_that_pages_name_exist() -> None:
    """Paths from the root on every page, and modules without a path in CONTRIBUTING.md."""
    named = re.compile(
        r"`((?:builder|docker|docs|examples|function|localcloud|requirements|setup|tests)/[\w./*-]+)`"
    )
    folders = [ROOT / name for name in ("docs", "examples", "localcloud", "tests")]
    found = [path for folder in folders for path in folder.rglob("*.md")]
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in sorted([*found, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"])
        for name in named.findall(page.read_text(encoding="utf-8"))
        if not any(ROOT.glob(name))
    ]
    modules = {path.name for folder in ("builder", "tests") for path in (ROOT / folder).rglob("*.py")}
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert missing + sorted(set(re.findall(r"`(\w+\.py)`", text)) - modules - {"entrypoint.py"}) == []
