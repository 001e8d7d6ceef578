"""Settings as given, layer by layer (file, environment, flags), parsed by the table and merged: the later layer wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from builder.errors import Problem
from builder.options.table import BY_NAME, NOT_YET, OPTIONS
from builder.options.values import Unfit, printable


class Rank(IntEnum):
    """Which layer a setting comes from; the higher one wins."""

    DEFAULT = 0
    FILE = 1
    FILE_ENTRY = 2
    ENVIRONMENT = 3
    FLAG = 4


@dataclass(frozen=True)
class Setting:
    """One value: as given, or after `parse_layer` in its own type; `variable` names it in messages."""

    value: object
    variable: str
    rank: Rank


Layer = Mapping[str, Setting]


@dataclass(frozen=True)
class FileEntry:
    """One entry under `notebooks:`: the path or glob, where it stands, and its own settings as given."""

    pattern: str
    origin: str
    settings: Layer


@dataclass(frozen=True)
class ConfigFile:
    """What the file says, and what is wrong with its form; values are not parsed yet."""

    top: Layer
    entries: tuple[FileEntry, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class ParsedLayer:
    """What of a layer could be parsed, the names that could not, and what is wrong with those."""

    settings: Layer
    failed: frozenset[str]
    problems: tuple[Problem, ...]


def parse_layer(layer: Layer) -> ParsedLayer:
    """Every setting of a layer parsed, also those that a higher layer will overrule: a mistake is one anyway."""
    settings: dict[str, Setting] = {}
    problems: list[Problem] = []
    for name, setting in layer.items():
        option = BY_NAME[name]
        if not option.available:
            problems.append(Problem(setting.variable, show(setting.value), NOT_YET))
            continue
        try:
            settings[name] = replace(setting, value=option.parse(setting.value))
        except Unfit as unfit:
            problems += unfit_problems(setting, unfit)
    return ParsedLayer(settings, frozenset(layer.keys() - settings.keys()), tuple(problems))


def unfit_problems(setting: Setting, unfit: Unfit) -> list[Problem]:
    """One problem per part of the value that is wrong."""
    return [
        Problem(setting.variable, show(setting.value if part is None else part), expected)
        for part, expected in unfit.faults
    ]


def show(value: object) -> str:
    """A value as a message may show it: one short line (a long one may hold what is private)."""
    return printable(value if isinstance(value, str) else repr(value))


def defaults() -> dict[str, Setting]:
    """The lowest layer: every option that has a fixed default."""
    return {
        option.name: Setting(option.default, option.env, Rank.DEFAULT)
        for option in OPTIONS
        if option.available and not option.required
    }


def merge(*layers: Layer) -> dict[str, Setting]:
    """The layers put over each other, the last on top."""
    merged: dict[str, Setting] = {}
    for layer in layers:
        merged |= layer
    return merged
