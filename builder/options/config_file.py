"""Reads notebooks.yaml: options in lower case at the top, and per notebook under `notebooks:`."""

from __future__ import annotations

from builder.errors import Problem
from builder.options.flags import nearest
from builder.options.layers import ConfigFile, FileEntry, Rank, Setting, problems_of, show
from builder.options.paths import notebook_pattern
from builder.options.table import BY_NAME, OPTIONS
from builder.options.values import InvalidValue, items
from builder.options.yaml_text import Lined, YamlMistake, read_yaml
from builder.plain_text import escaped

_TOP_KEYS = tuple(option.name for option in OPTIONS if option.in_file)
_ENTRY_KEYS = ("path", *(option.name for option in OPTIONS if option.scope == "job"))


def read_config(name: str, text: str) -> ConfigFile:
    """Return the settings in the file's text; messages call it `name`."""
    try:
        data = read_yaml(text)
    except YamlMistake as mistake:
        return ConfigFile({}, (), tuple(problems_of(Setting("", name, Rank.FILE), mistake)))
    if data is None:
        return ConfigFile({}, (), ())
    if not isinstance(data, Lined):
        return ConfigFile({}, (), (Problem(name, show(data), _no_options(data)),))
    return _Reader(name).read(data)


class _Reader:
    """Collects entries and problems in one pass over the file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._problems: list[Problem] = []
        self._entries: dict[str, FileEntry] = {}

    def read(self, data: Lined) -> ConfigFile:
        top = self._settings(data, "", _TOP_KEYS, Rank.FILE)
        notebooks = top.pop("notebooks", None)
        if notebooks is not None:
            self._read_entries(notebooks)
        return ConfigFile(top, tuple(self._entries.values()), tuple(self._problems))

    def _settings(self, data: Lined, within: str, known: tuple[str, ...], rank: Rank) -> dict[str, Setting]:
        """Return the settings of a mapping's known keys. A key without a value (null) counts as absent."""
        found: dict[str, Setting] = {}
        for key, value in data.items():
            place = f"{self._name} line {data.lines[key]}" if data.lines[key] else self._name
            variable = f"{place}: {within}{escaped(key)}"
            if key not in known:
                self._problems.append(Problem(variable, "", _unknown(key, known)))
            elif value is not None:
                found[key] = Setting(value, variable, rank)
        return found

    def _read_entries(self, setting: Setting) -> None:
        try:
            entries = items(setting.value)
        except InvalidValue as invalid:
            self._problems += problems_of(setting, invalid)
            return
        if not entries:
            self._problems.append(Problem(setting.variable, "", "expected at least one notebook"))
        for index, entry in enumerate(entries):
            self._read_entry(index, entry, setting)

    def _read_entry(self, index: int, entry: object, parent: Setting) -> None:
        here = f"notebooks[{index}]"
        within = {"path": Setting(entry, f"{parent.variable}[{index}]", Rank.FILE_ENTRY)}
        if isinstance(entry, Lined):
            within = self._settings(entry, f"{here}.", _ENTRY_KEYS, Rank.FILE_ENTRY)
        path = within.pop("path", None)
        if path is None:
            line = min(entry.lines.values(), default=0) if isinstance(entry, Lined) else 0
            place = f"{self._name} line {line}: {here}" if line else f"{self._name}: {here}"
            self._problems.append(Problem(place, "", "expected a path, such as path: reports/demo.ipynb"))
            return
        try:
            pattern = notebook_pattern.parse(path.value)
        except InvalidValue as invalid:
            self._problems += problems_of(path, invalid)
            return
        if pattern in self._entries:
            first = self._entries[pattern].origin
            self._problems.append(
                Problem(path.variable, show(pattern), f"listed already as {first}; one entry per path")
            )
            return
        self._entries[pattern] = FileEntry(pattern, f"{self._name}: {here}", within)


def _no_options(data: object) -> str:
    expected = "expected options with values, such as machine_type: e2-standard-8"
    if isinstance(data, list):
        return f"{expected}. Write a list of notebooks below notebooks:"
    if isinstance(data, str) and (":" in data or "=" in data):
        return f"{expected}. Write a colon and a space between them"
    return expected


def _unknown(key: str, known: tuple[str, ...]) -> str:
    if key in BY_NAME and BY_NAME[key].in_file:
        return "belongs at the top of the file, for the whole run"
    if key in BY_NAME:
        return "cannot be set in the file itself"
    meant = nearest(key.lower().removeprefix("nb_"), known)
    return f"no such option; did you mean {meant}?" if meant else "no such option"
