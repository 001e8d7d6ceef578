"""The gcloud commands that the pages show and that the product prints, each as its arguments.

bash itself expands the pages' scripts: variables, loops, `$(…)` and quotes. `gcloud` there is a shell function that
writes down its arguments. The product's commands are read from its source, so that none is forgotten.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "docs/decisions/*.md", "examples/*/*.md", "localcloud/**/*.md")
    for path in ROOT.glob(pattern)
)
SOURCES = [ROOT / "builder", ROOT / "localcloud" / "demo"]

# What a reader has set, by docs/setup.md.
VARIABLES: Mapping[str, str] = {
    "PROJECT": "my-project",
    "NUMBER": "123456789012",
    "REGION": "us-central1",
    "BUCKET": "my-project-notebooks",
    "PREFIX": "my-repo",
    "VALUE": "secret",
    **{
        variable: f"{account}@my-project.iam.gserviceaccount.com"
        for variable, account in (("VM", "notebook-vm"), ("TRIGGER", "notebook-trigger"))
    },
}
# What stands for an expression of the product's source, where "name" would be no value of that kind.
EXPRESSIONS: Mapping[str, str] = {
    **dict.fromkeys(("account", "address", "target"), "notebook-vm@my-project.iam.gserviceaccount.com"),
    "bucket": "my-bucket",
    "dimensions": " --dimensions=region=us-central1",
    "kind": "machine-types",
    "listing": "machine-types",
    "member": "serviceAccount:notebook-vm@my-project.iam.gserviceaccount.com",
    "option": " --project=my-project",
    "where": "gs://my-bucket",
    "wanted": "100",
    "project": "my-project",
}

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`(gcloud [^`]*)`")
_LINE = re.compile(r"\bgcloud (?=[a-z]).*")
_PRINTED = re.compile(r"\bgcloud [a-z](?:(?! && | \()[^;\n])*")
_FIELD = re.compile(r"\{([a-z_]+)\}")
_SHELL = """
gcloud() {
  printf '%s\\0' "$#" "$@" >&9
  case "$*" in *'value(projectNumber)'*) echo 123456789012 ;; esac
}
git() { [ "$1" != rev-parse ] || echo 0123456789abcdef0123456789abcdef01234567; }
cat() { :; }
set -u
"""


@dataclass(frozen=True)
class Command:
    """One gcloud command: the file that has it, and its arguments after `gcloud`."""

    file: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(("gcloud", *self.arguments))

    def flag(self, name: str) -> str | None:
        """Return the value of `--name=VALUE`, None where it is not given."""
        return next((a.partition("=")[2] for a in self.arguments if a.startswith(f"--{name}=")), None)


def on_page(page: str, folder: Path) -> list[Command]:
    """Return the commands of a page: first its scripts', in order, then those in its text.

    `folder` takes what scripts write.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = [(language, block) for _, language, block in _FENCE.findall(text)]
    scripts = "".join(block for language, block in blocks if language == "sh" and "gcloud" in block)
    plain = _FENCE.sub("", text)
    shown = [block for language, block in blocks if language != "sh"]
    shown += [line for line in plain.splitlines() if line.startswith("    ")]
    lines = "\n".join(shown).replace("\\\n", " ")
    told = [*_SPAN.findall(plain), *_LINE.findall(lines)]
    return [
        *(Command(page, given) for given in run_script(scripts, VARIABLES, folder)),
        *(Command(page, split(one)) for one in told if "…" not in one),
    ]


def run_script(script: str, variables: Mapping[str, str], folder: Path) -> list[tuple[str, ...]]:
    """Return the arguments of each call of gcloud in a script, which has no other program.

    Raises `AssertionError` if it fails.
    """
    record = folder / "calls"
    done = subprocess.run(
        [
            "/bin/bash",
            "--noprofile",
            "--norc",
            "-c",
            f"exec 9>{shlex.quote(str(record))}\n{_SHELL}{script}\n:",
        ],
        cwd=folder,
        env={**variables, "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    words = record.read_text(encoding="utf-8").split("\0")[:-1]
    calls = []
    while words:
        count = int(words.pop(0))
        calls.append(tuple(words[:count]))
        del words[:count]
    return calls


def split(text: str) -> tuple[str, ...]:
    """Return the arguments of one command written as text."""
    return tuple(shlex.split(text)[1:])


def printed() -> list[Command]:
    """Return the commands in the texts of the product's source, with values in place of what is computed."""
    return [
        Command(str(path.relative_to(ROOT)), split(found.rstrip(".")))
        for source in SOURCES
        for path in sorted(source.rglob("*.py"))
        for text in _texts(ast.parse(path.read_text(encoding="utf-8")))
        for found in _PRINTED.findall(text)
    ]


def _texts(node: ast.AST) -> Iterator[str]:
    """Each text below the node but docstrings; an f-string is one text."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.Constant | ast.JoinedStr):
            yield _text(child)
        else:
            yield from _texts(child)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.FormattedValue):
        return EXPRESSIONS.get(ast.unparse(node.value), "name")
    value = node.value if isinstance(node, ast.Constant) else None
    return (
        _FIELD.sub(lambda field: EXPRESSIONS.get(field[1], "name"), value) if isinstance(value, str) else ""
    )
