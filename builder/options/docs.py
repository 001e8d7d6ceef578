"""Prints the option table for people and programs: Markdown (README, docs/options.md), JSON Schema, aligned text."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from builder.options.option import GROUPS, Option
from builder.options.table import OPTIONS

_WIDTH = 100


def render_options(form: str) -> str:
    """Return the whole table in one of the formats of `options`, ending with a newline."""
    return _RENDERERS[form]()


def markdown() -> str:
    """Return one table per group, as README and docs/options.md hold it."""
    lines: list[str] = []
    for group, options in _groups():
        lines += [
            f"**{group}**",
            "",
            "| option | default | meaning | for example |",
            "| --- | --- | --- | --- |",
        ]
        lines += [_row(option) for option in options]
        lines.append("")
    return "\n".join(lines) + "\n"


def json_schema() -> str:
    """Return the JSON Schema of notebooks.yaml."""
    top = [option for option in OPTIONS if option.in_file and option.name != "notebooks"]
    entry: dict[str, Any] = {"path": {"type": "string", "description": "The notebook's path, or a glob."}}
    entry |= {option.name: _property(option) for option in top if option.scope == "job"}
    listed = {"type": "object", "properties": entry, "required": ["path"], "additionalProperties": False}
    notebooks = {
        "description": "The notebooks to run, each a path or glob, or a mapping of path and its own settings.",
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [{"type": "string"}, listed]},
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "notebooks.yaml of Notebook Builder",
        "type": "object",
        "properties": {"notebooks": notebooks} | {option.name: _property(option) for option in top},
        "additionalProperties": False,
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def plain_text() -> str:
    """Return the table for a terminal."""
    lines: list[str] = []
    for group, options in _groups():
        lines.append(group)
        for option in options:
            lines.append(f"  {option.env:32}{option.flag:32}{_plain(_default(option))}".rstrip())
            lines += textwrap.wrap(
                _plain(option.help), _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
        lines.append("")
    return "\n".join(lines) + "\n"


def _groups() -> Iterator[tuple[str, list[Option]]]:
    for group in GROUPS:
        yield group, [option for option in OPTIONS if option.group == group]


def _row(option: Option) -> str:
    cells = (f"`{option.env}`", _default(option), option.help, f"`{option.example}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(option: Option) -> str:
    return "required" if option.required else option.shown


def _plain(markup: str) -> str:
    return markup.replace("`", "")


def _property(option: Option) -> Mapping[str, Any]:
    schema = option.type.schema
    fixed = isinstance(option.default, str | int) and schema.get("type") in {"string", "integer", "boolean"}
    default = {"default": option.default} if fixed else {}
    return {"description": _plain(option.help), **schema, **default}


_RENDERERS = {"text": plain_text, "markdown": markdown, "json-schema": json_schema}
