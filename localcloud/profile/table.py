"""The table of accounts, roles and grants that the set-up scripts use: setup/table.sh, which describes its own form."""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "setup" / "table.sh"
# The parts of the table that `setup/project.sh --schedule` uses.
DEPLOYING = frozenset({"run", "deploy"})


@dataclass(frozen=True)
class Repository:
    """A repository of Artifact Registry; `format` is "docker" or "python"."""

    part: str
    name: str
    format: str
    purpose: str


@dataclass(frozen=True)
class Account:
    """A service account: what runs as it, and what it can do."""

    part: str
    name: str
    runs: str
    can: str


@dataclass(frozen=True)
class Role:
    """A custom role of the project."""

    part: str
    name: str
    title: str
    permissions: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """A condition of IAM, with PROJECT, NUMBER, BUCKET and PREFIX in place of values."""

    title: str
    expression: str


@dataclass(frozen=True)
class Grant:
    """A role for some accounts, on "project", "bucket", "repository:NAME" or "account:NAME"."""

    part: str
    accounts: tuple[str, ...]
    role: str
    on: str
    purpose: str
    condition: Condition | None = None

    @property
    def is_of_a_prefix(self) -> bool:
        """True if the grant is made once per prefix of the bucket, not once per project."""
        return self.condition is not None and "PREFIX" in self.condition.expression


@dataclass(frozen=True)
class Table:
    """All entries, in the order of the file; `apis` are pairs of part and name."""

    apis: tuple[tuple[str, str], ...]
    repositories: tuple[Repository, ...]
    accounts: tuple[Account, ...]
    roles: tuple[Role, ...]
    grants: tuple[Grant, ...]


@functools.cache
def table() -> Table:
    """Return the table; raises `ValueError` for an entry of an unknown kind."""
    return parse(FILE.read_text(encoding="utf-8"))


def parse(text: str) -> Table:
    """Return the table that a text of this form holds; raises `ValueError` for an entry of an unknown kind."""
    apis, repositories, accounts, roles, grants = [], [], [], [], []
    for kind, part, *values in _entries(text):
        match kind, values:
            case "api", [name]:
                apis.append((part, name))
            case "repository", [name, form, purpose]:
                repositories.append(Repository(part, name, form, purpose))
            case "account", [name, runs, can]:
                accounts.append(Account(part, name, runs, can))
            case "role", [name, title, permissions]:
                roles.append(Role(part, name, title, tuple(permissions.split())))
            case "grant", [names, role, on, purpose, *rest] if len(rest) in {0, 2}:
                condition = Condition(rest[0], " ".join(rest[1].split())) if rest else None
                grants.append(Grant(part, tuple(names.split(",")), role, on, purpose, condition))
            case _:
                raise ValueError(f"setup/table.sh: {shlex.join((kind, part, *values))} is no entry")
    return Table(tuple(apis), tuple(repositories), tuple(accounts), tuple(roles), tuple(grants))


def _entries(text: str) -> list[list[str]]:
    """Return the words of each command of the text."""
    entries, command = [], ""
    for line in text.replace("\\\n", "").splitlines():
        command += line + "\n"
        try:
            words = shlex.split(command, comments=True)
        except ValueError:  # the quotation goes on
            continue
        command = ""
        if words:
            entries.append(words)
    if command:
        raise ValueError(f"setup/table.sh: a quotation does not end: {command[:80]}")
    return entries
