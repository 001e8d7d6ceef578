"""Imports run downwards: options, plan, judge, act, report.

Google's clients stay in builder/gcp; localcloud shares no code.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# For each part of the builder, the parts that it may import. What is not named here may import nothing of ours.
ALLOWED = {
    "builder.options": {"builder.model", "builder.globs", "builder.vm"},
    "builder.plan": {"builder.options", "builder.model", "builder.ports", "builder.globs", "builder.vm"},
    "builder.judge": {"builder.plan", "builder.model", "builder.globs", "builder.vm"},
    "builder.act": {
        "builder.options", "builder.plan", "builder.judge", "builder.model", "builder.ports", "builder.refusals", "builder.waiting", "builder.kit", "builder.vm",
    },
    "builder.check": {"builder.options", "builder.plan", "builder.model", "builder.ports", "builder.refusals"},
    "builder.deploy": {
        "builder.options", "builder.plan", "builder.model", "builder.ports", "builder.refusals", "builder.deploy_ports", "builder.waiting",
        "builder.act", "builder.kit",
    },
    "builder.report": {"builder.act", "builder.check", "builder.plan", "builder.model", "builder.ports"},
    "builder.function": {"builder.options", "builder.model"},
    "builder.gcp": {"builder.plan", "builder.model", "builder.ports", "builder.deploy_ports", "builder.waiting"},
    "builder.forge": {"builder.model", "builder.ports", "builder.refusals"},
    "builder.commands": {
        "builder.options", "builder.plan", "builder.act", "builder.check", "builder.deploy", "builder.gcp", "builder.forge",
        "builder.report", "builder.ports", "builder.refusals", "builder.deploy_ports", "builder.waiting", "builder.model", "builder.kit",
    },
    "builder.cli": {"builder.options", "builder.waiting", "builder.report", "builder.commands"},
    "builder.waiting": {"builder.ports"},
    "builder.deploy_ports": {"builder.model", "builder.ports"},
    "builder.ports": {"builder.model"},
    "builder.model": set(),
    "builder.globs": set(),
    "builder.errors": set(),
    "builder.gcloud": set(),
    "builder.refusals": {"builder.ports"},
    "builder.plain_text": set(),
    "builder.strict_json": set(),
    "builder.kit": set(),
    "builder.vm": set(),
}  # fmt: skip
EVERYWHERE = {"builder", "builder.errors", "builder.gcloud", "builder.plain_text", "builder.strict_json"}


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module below a folder of the checkout."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def nodes(path: Path, text: str = "") -> Iterator[ast.AST]:
    """Yield all nodes of a file's syntax, or none if the file does not contain a text."""
    source = path.read_text(encoding="utf-8")
    if text in source:
        yield from ast.walk(ast.parse(source))


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Return the imports of a file, as dotted names; `from a import b` counts as a.b."""
    found: set[str] = set()
    for node in nodes(path, "import"):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def part(name: str) -> str:
    """`builder.act` of `builder.act.fleet.Vm`; a service or an engine of localcloud is a part of its own."""
    names = name.split(".")
    return ".".join(names[: 3 if names[1:2] in (["services"], ["engines"]) else 2])


def refused(name: str, path: Path) -> set[str]:
    """Return the parts that a module of the builder imports and may not."""
    own = part(name)
    ours = {part(imported) for imported in imports(path) if imported.split(".")[0] == "builder"}
    known = {imported if imported in ALLOWED else "builder" for imported in ours}
    return known - EVERYWHERE - {own} - ALLOWED.get(own, set())


def test_a_module_imports_only_what_its_part_may() -> None:
    found = {name: refused(name, path) for name, path in modules("builder")}
    assert len(found) > 200
    assert {name: parts for name, parts in found.items() if parts} == {}, (
        "ALLOWED has what each part may import"
    )


def graph(folder: str) -> dict[str, set[str]]:
    """For each module below a folder, the modules of that folder that it imports, inside functions too."""
    known = dict(modules(folder))
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        targets = (module_of(imported, known) for imported in imports(path))
        found[name] = {target for target in targets if target is not None and target != name}
    return found


def module_of(imported: str, known: Mapping[str, Path]) -> str | None:
    """The module that an imported name is, or is defined in; None where the folder has no such module."""
    if imported in known:
        return imported
    parent = imported.rpartition(".")[0]
    return parent if parent in known else None


def layers(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Group names so that each imports only from earlier groups. Raises CycleError where that is impossible."""
    sorter = TopologicalSorter(edges)
    sorter.prepare()
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        sorter.done(*ready)
        found.append(ready)
    return found


def between_parts(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the imports between the parts that the modules belong to."""
    merged: dict[str, set[str]] = {}
    for name, targets in edges.items():
        merged.setdefault(part(name), set()).update({part(target) for target in targets} - {part(name)})
    return merged


@pytest.mark.parametrize("folder", ["builder", "localcloud"])
def test_imports_have_no_circle(folder: str) -> None:
    """`make test T="tests/unit/test_imports.py -k circle -s -n 0"` prints the layers, the lowest first."""
    edges = graph(folder)
    layers(edges)
    for number, names in enumerate(layers(between_parts(edges))):
        print(f"layer {number}: {', '.join(names)}")


def test_a_circle_is_seen() -> None:
    with pytest.raises(CycleError):
        layers({"a": {"b"}, "b": {"a"}})


def test_only_gcp_imports_googles_clients() -> None:
    found = {
        (name, imported)
        for name, path in modules("builder")
        for imported in imports(path)
        if imported.startswith(("google.", "googleapiclient"))
        if not name.startswith("builder.gcp") and name != "builder.vm.runner.storage"
    }
    # The function's cold start: credentials and REST, no client library.
    assert {pair for pair in found if pair[0] != "builder.function.google"} == set()
    assert {imported for _, imported in found if not imported.startswith("google.auth")} == set()


def test_localcloud_imports_nothing_of_the_builder() -> None:
    found = {name: imports(path) for name, path in modules("localcloud")}
    assert len(found) > 200
    wrong = {
        (name, imported)
        for name, names in found.items()
        for imported in names
        if imported.split(".")[0] == "builder" or imported.startswith("google.cloud.compute")
    }
    assert wrong == set()


def test_only_the_report_prints() -> None:
    printing = [
        name
        for name, path in modules("builder")
        for node in nodes(path, "print")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    outside = {
        name for name in printing if name != "builder.report.console" and not name.startswith("builder.vm")
    }
    assert outside <= {"builder.kit"}


def test_bad_input_is_reported_without_importing_google() -> None:
    code = (
        "import sys; sys.argv = ['entrypoint.py', 'run']; from builder.cli import main; code = main();"
        "assert code == 2, code; assert not [m for m in sys.modules if m.startswith('google.')]"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_code_needs_the_tarfile_filter_of_python_3_11_4() -> None:
    # Debian 12 has 3.11.2, whose tarfile and shutil know no `filter`. The VM's own code asks first whether it is there.
    calls = [
        (name, node.func.attr)
        for folder in ("builder", "function", "localcloud", "tests")
        for name, path in modules(folder)
        for node in nodes(path, "filter")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in {"extract", "extractall", "unpack_archive"}
        if any(keyword.arg == "filter" for keyword in node.keywords)
    ]
    assert calls == [("builder.vm.runner.workspace", "extractall")]


def test_a_run_loads_the_clients_of_compute_engine_that_it_uses() -> None:
    """The library's own package loads ninety; whoever enters it after us finds them all."""
    script = (
        "import sys, builder.gcp.compute, builder.gcp.catalog; "
        "loaded = {name.split('.')[4] for name in sys.modules if name.startswith('google.cloud.compute_v1.services.')}; "
        "from google.cloud import compute_v1; "
        "print(len(loaded) < 15, compute_v1.DisksClient.__name__, compute_v1.InstancesClient is builder.gcp.compute_v1.InstancesClient)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "True DisksClient True\n"
