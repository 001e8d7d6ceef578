"""Settings in layers (default, file, environment, flag): parsed by the table, then merged; the higher layer wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from builder.errors import Problem
from builder.options.option import MISSING
from builder.options.table import BY_NAME, OPTIONS
from builder.options.values import InvalidValue
from builder.plain_text import escaped


class Rank(IntEnum):
    """The layer that a setting comes from; the higher one wins."""

    DEFAULT = 0
    FILE = 1
    FILE_ENTRY = 2
    ENVIRONMENT = 3
    FLAG = 4


@dataclass(frozen=True)
class Setting:
    """One value, as given or as `parse_layer` returns it. `variable` names it in messages."""

    value: object
    variable: str
    rank: Rank


Layer = Mapping[str, Setting]


@dataclass(frozen=True)
class FileEntry:
    """One entry under `notebooks:`: its path or glob, its place in the file, and its settings as given."""

    pattern: str
    origin: str
    settings: Layer


@dataclass(frozen=True)
class ConfigFile:
    """The file's settings, not parsed yet, and the mistakes in its form."""

    top: Layer
    entries: tuple[FileEntry, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class ParsedLayer:
    """The parsed settings of a layer, the names that could not be parsed, and their problems."""

    settings: Layer
    failed: frozenset[str]
    problems: tuple[Problem, ...]


def parse_layer(layer: Layer) -> ParsedLayer:
    """Parse every setting of a layer, even one that a higher layer replaces: a mistake counts anyway."""
    settings: dict[str, Setting] = {}
    problems: list[Problem] = []
    for name, setting in layer.items():
        option = BY_NAME[name]
        try:
            settings[name] = replace(setting, value=option.type.parse(setting.value))
        except InvalidValue as invalid:
            problems += problems_of(setting, invalid)
    return ParsedLayer(settings, frozenset(layer.keys() - settings.keys()), tuple(problems))


def flag_layer(given: Mapping[str, str]) -> dict[str, Setting]:
    """Return the layer of the command line's flags; an empty value counts as unset."""
    return {
        name: Setting(text.strip(), BY_NAME[name].flag, Rank.FLAG)
        for name, text in given.items()
        if text.strip()
    }


def problems_of(setting: Setting, invalid: InvalidValue) -> list[Problem]:
    """Return one problem per wrong part of the value."""
    return [
        Problem(f"{setting.variable}{invalid.place}", show(setting.value if part is None else part), expected)
        for part, expected in invalid.faults
    ]


def show(value: object) -> str:
    """Return the value as a message may show it: one short line, since a long one may be private."""
    return escaped(value if isinstance(value, str) else repr(value))


def defaults() -> dict[str, Setting]:
    """Return the lowest layer: every option that has a fixed default."""
    return {
        option.name: Setting(option.default, option.env, Rank.DEFAULT)
        for option in OPTIONS
        if option.default is not MISSING
    }


def merge(*layers: Layer) -> dict[str, Setting]:
    """Return all settings; of two layers with the same setting, the later one wins."""
    merged: dict[str, Setting] = {}
    for layer in layers:
        merged |= layer
    return merged
