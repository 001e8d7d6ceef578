"""Write the tables of the pages between their markers (make docs): options, and the accounts of setup/table.sh."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from builder.options.docs import markdown
from localcloud.profile.table import Grant, table

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("docs/options.md", "docs/accounts.md")
_PARTS = {
    "run": "",
    "deploy": "`--schedule`",
    "packages": "`--packages`",
    "undeployed": "without `--schedule`",
}


def accounts() -> str:
    """Return the table of service accounts."""
    return _rows(
        ("service account", "made with", "runs", "can"),
        ((f"`{each.name}`", _PARTS[each.part], each.runs, each.can) for each in table().accounts),
    )


def grants() -> str:
    """Return the table of grants that are made once per project."""
    return _grants(grant for grant in table().grants if not grant.is_of_a_prefix)


def prefix_grants() -> str:
    """Return the table of grants that are made once per prefix."""
    return _grants(grant for grant in table().grants if grant.is_of_a_prefix)


def conditions() -> str:
    """Return the list of conditions, with their expressions."""
    lines = []
    for grant in table().grants:
        if grant.condition is not None:
            lines.append(f"- `{grant.condition.title}`:\n")
            parts = grant.condition.expression.split(" || ")
            lines += ["  ```", *(f"  {part} ||" for part in parts[:-1]), f"  {parts[-1]}", "  ```", ""]
    return "\n".join(lines)


def custom_roles() -> str:
    """Return the table of custom roles."""
    return _rows(
        ("role", "permissions"),
        ((f"`{each.name}`", ", ".join(f"`{name}`" for name in each.permissions)) for each in table().roles),
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "options": markdown,
    "accounts": accounts,
    "grants": grants,
    "prefix-grants": prefix_grants,
    "conditions": conditions,
    "custom-roles": custom_roles,
}


def with_tables(page: str) -> str:
    """Return the page with the current table between the markers of each; what has no markers stays as it is."""
    for name, write in TABLES.items():
        before, begin, rest = page.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if begin and end:
            page = f"{before}{begin}\n\n{write()}\n{end}{after}"
    return page


def _grants(shown: Iterable[Grant]) -> str:
    return _rows(
        ("account", "role", "on", "condition", "purpose"),
        (
            (
                ", ".join(f"`{account}`" for account in grant.accounts),
                f"`{grant.role}`",
                _resource(grant.on),
                f"`{grant.condition.title}`" if grant.condition else "",
                grant.purpose,
            )
            for grant in shown
        ),
    )


def _resource(on: str) -> str:
    kind, _, name = on.partition(":")
    return f"{kind} `{name}`" if name else kind


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def main() -> None:
    """Rewrite the pages with a stale table, and name them."""
    for name in PAGES:
        page = ROOT / name
        old = page.read_text(encoding="utf-8")
        new = with_tables(old)
        if new != old:
            page.write_text(new, encoding="utf-8")
            print(f"{name}: tables written")


if __name__ == "__main__":
    main()
