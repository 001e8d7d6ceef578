"""Imports go one way only: options, plan, judge, act, report; Google behind its doors; localcloud shares nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# For each part of the builder, the parts that it may import. What is not named here may import nothing of ours.
ALLOWED = {
    "builder.options": {"builder.model"},
    "builder.plan": {"builder.options", "builder.model", "builder.ports"},
    "builder.judge": {"builder.plan", "builder.model"},
    "builder.act": {"builder.plan", "builder.judge", "builder.model", "builder.ports", "builder.kit", "builder.vm", "builder.report"},
    "builder.check": {"builder.plan", "builder.model", "builder.ports"},
    "builder.deploy": {"builder.options", "builder.plan", "builder.model", "builder.ports", "builder.act", "builder.kit"},
    "builder.report": {"builder.act", "builder.check", "builder.deploy", "builder.plan", "builder.model"},
    "builder.function": {"builder.options", "builder.model"},
    "builder.gcp": {"builder.act", "builder.deploy", "builder.plan", "builder.model", "builder.ports"},
    "builder.commands": {
        "builder.options", "builder.plan", "builder.act", "builder.check", "builder.deploy", "builder.gcp",
        "builder.report", "builder.ports", "builder.model", "builder.kit",
    },
    "builder.cli": {"builder.options", "builder.act", "builder.report", "builder.commands"},
    "builder.ports": {"builder.model"},
    "builder.model": set(),
    "builder.errors": set(),
    "builder.stored_json": set(),
    "builder.kit": set(),
    "builder.vm": set(),
}  # fmt: skip
EVERYWHERE = {"builder", "builder.errors", "builder.stored_json"}


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module below a folder of the checkout."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    """What a file imports, as dotted names; `from a import b` counts as a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(name: str) -> str:
    """`builder.act` of `builder.act.fleet.Vm`."""
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize(
    ("name", "path"), [pytest.param(*module, id=module[0]) for module in modules("builder")]
)
def test_a_module_imports_only_what_its_part_may(name: str, path: Path) -> None:
    own = part(name)
    ours = {part(imported) for imported in imports(path) if imported.split(".")[0] == "builder"}
    known = {imported if imported in ALLOWED else "builder" for imported in ours}
    assert known - EVERYWHERE - {own} <= ALLOWED.get(own, set())


@pytest.mark.parametrize(
    ("name", "path"), [pytest.param(*module, id=module[0]) for module in modules("builder")]
)
def test_google_stands_behind_its_doors(name: str, path: Path) -> None:
    if name.startswith("builder.gcp") or name == "builder.vm.runner.storage":
        return
    found = {imported for imported in imports(path) if imported.startswith(("google.", "googleapiclient"))}
    # The function's cold start: credentials and REST, no client library.
    allowed = ("google.auth",) if name == "builder.function.google" else ()
    assert not {imported for imported in found if not imported.startswith(allowed)}


@pytest.mark.parametrize(
    ("name", "path"), [pytest.param(*module, id=module[0]) for module in modules("localcloud")]
)
def test_localcloud_shares_nothing_with_what_it_proves(name: str, path: Path) -> None:
    assert not {
        imported
        for imported in imports(path)
        if imported.split(".")[0] == "builder" or imported.startswith("google.cloud.compute")
    }


def test_only_the_report_prints() -> None:
    printing = [
        name
        for name, path in modules("builder")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    outside = {name for name in printing if name != "builder.report" and not name.startswith("builder.vm")}
    assert outside <= {"builder.kit"}


def test_bad_input_is_told_without_importing_google() -> None:
    code = (
        "import sys; sys.argv = ['entrypoint.py', 'run']; from builder.cli import main; code = main();"
        "assert code == 2, code; assert not [m for m in sys.modules if m.startswith('google.')]"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_archive_is_unpacked_by_what_python_has_only_since_3_11_4() -> None:
    # Debian 12 has 3.11.2, whose tarfile and shutil know no `filter`. The VM's own code asks first whether it is there.
    calls = [
        (name, node.func.attr)
        for folder in ("builder", "function", "localcloud", "tests")
        for name, path in modules(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in {"extract", "extractall", "unpack_archive"}
        if any(keyword.arg == "filter" for keyword in node.keywords)
    ]
    assert calls == [("builder.vm.runner.workspace", "extractall")]
