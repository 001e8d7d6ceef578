"""The shape of localcloud: its floors, and the folders of its services.

A service is one folder and one line in services/registry.py. Its modules are named by their role.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCALCLOUD = ROOT / "localcloud"

# From the bottom to the top: a module imports from its own floor and those below.
FLOORS = ("core", "engines", "services", "profile", "cloud", "cli", "demo", "__main__")
# The roles that a service's modules have. `rules_disks` is a part of the rules.
ROLES = ("__init__", "service", "calls", "rules", "state", "views", "refusals", "names")
# What a service has beside them, and why.
MORE = {
    "cloudbuild": {
        "job": "a build with everything that is decided at its creation",
        "problem": "what the rules report",
        "publishing": "images and artifacts of a build that succeeded",
        "queue": "builds that run, and builds that wait",
        "run": "one build from its start to its end",
        "stage": "the steps of a build",
        "step": "one step while it runs",
        "watch": "how the thread of a build waits",
    },
    "compute": {
        "catalog": "zones, machine types and networks, as data",
        "images": "the public images, as data",
        "life": "the transitions of an instance",
        "links": "the forms of resource URLs",
        "power": "what boots and ends the machine of an instance",
        "quotas": "usage and limits",
        "wanted": "a valid request for an instance, as values",
    },
    "functions": {
        "deployment": "the steps of a deployment",
        "sources": "where the archive of a build comes from",
        "triggers": "the subscription of a function",
        "uploads": "the addresses that archives are uploaded to",
        "work": "an operation under way, as values",
    },
    "pubsub": {
        "delivery": "the backlogs of subscriptions",
        "messages": "messages, as values",
        "push": "the request that delivers a message",
    },
    "run": {
        "front": "requests to services",
        "serving": "the instance of a revision",
    },
    "scheduler": {"timetable": "when jobs fire"},
    "storage": {
        "content": "the bytes of an upload, in a scratch file with its hashes",
        "pace": "the rate limit on changes of one object",
    },
}
BESIDE_SERVICES = {"__init__", "context", "registry"}


def modules(folder: Path = LOCALCLOUD) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


MODULES = dict(modules())


def imported(path: Path) -> set[str]:
    """The modules of localcloud that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("localcloud"):
                found.add(name if name in MODULES else name.rpartition(".")[0])
    return found


GRAPH = {name: imported(path) - {name} for name, path in MODULES.items()}


def floor(name: str) -> int:
    part = name.split(".")[1] if "." in name else "core"
    return FLOORS.index(part)


def test_imports_run_downwards() -> None:
    upwards = [
        f"{name} imports {other}"
        for name, others in sorted(GRAPH.items())
        for other in sorted(others)
        if floor(other) > floor(name)
    ]
    assert upwards == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(GRAPH[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in sorted(GRAPH):
        visit(name, ())


def services() -> list[Path]:
    return sorted(path for path in (LOCALCLOUD / "services").iterdir() if (path / "__init__.py").exists())


@pytest.mark.parametrize("folder", services(), ids=lambda folder: folder.name)
def test_a_service_has_modules_of_known_roles(folder: Path) -> None:
    allowed = {*ROLES, *MORE.get(folder.name, {})}
    stems = {path.stem for path in folder.rglob("*.py")}
    assert {
        stem for stem in stems if stem not in allowed and stem.partition("_")[0] not in ROLES[1:]
    } == set()
    assert [path.name for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"] == []
    assert set(MORE.get(folder.name, {})) <= stems
    assert "SPEC = Spec(" in (folder / "__init__.py").read_text(encoding="utf-8")


def test_a_service_is_named_in_one_place() -> None:
    files = [path for name, path in MODULES.items() if floor(name) != FLOORS.index("services")]
    names = {folder.name for folder in services()}
    assert {path.stem for path in (LOCALCLOUD / "services").glob("*.py")} == BESIDE_SERVICES
    registry = (LOCALCLOUD / "services" / "registry.py").read_text(encoding="utf-8")
    assert {name for name in names if f"{name}.SPEC" in registry} == names
    named = {
        (path.relative_to(LOCALCLOUD).as_posix(), name)
        for path in files
        for name in names
        if f"localcloud.services.{name}" in path.read_text(encoding="utf-8")
    }
    # `submit` checks build files by the rules of Cloud Build, and a new cloud makes its buckets.
    places = {(file if file == "cloud.py" else file.rpartition("/")[0], name) for file, name in named}
    assert places == {("cli/submit", "cloudbuild"), ("cloud.py", "storage")}


@pytest.mark.parametrize("part", ["core", "services"])
def test_a_cloud_knows_nothing_of_what_runs_on_it(part: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for _, path in modules(LOCALCLOUD / part)
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search("notebook", line, re.IGNORECASE)
    ]
    assert found == []
