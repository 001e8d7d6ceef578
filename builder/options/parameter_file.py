"""Reads NB_PARAMETERS_FILE, and lays its parameters under the given ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from builder.errors import Problem
from builder.options.layers import Setting, problems_of, show
from builder.options.parameters import merged, parse_parameters
from builder.options.values import InvalidValue


class ParameterFiles:
    """The parameter files of one load, each read once. Adds their problems to `problems`."""

    def __init__(self, read_file: Callable[[str], str | None], problems: list[Problem]) -> None:
        self._read_file = read_file
        self._problems = problems
        self._read: dict[str, Setting | None] = {}

    def applied(self, settings: dict[str, Setting]) -> dict[str, Setting]:
        """Return a job's settings with the file's parameters merged into `parameters`, name by name.

        `parameters` win, unless a higher layer names the file: NB_PARAMETERS_FILE in the environment wins over
        `parameters` in notebooks.yaml.
        """
        named, given = settings.get("parameters_file"), settings["parameters"]
        content = self._content(named) if named and named.value else None
        if named is None or content is None:
            return settings
        lower, upper = (given, content) if named.rank > given.rank else (content, given)
        sources = " and ".join(source.variable for source in (given, content) if source.value)
        together = merged(_mapping(lower), _mapping(upper))
        return {**settings, "parameters": Setting(together, sources or named.variable, upper.rank)}

    def _content(self, named: Setting) -> Setting | None:
        """Return the parameters in the named file; None if they cannot be read, which is one problem."""
        name = str(named.value)
        if name not in self._read:
            self._read[name] = self._parsed(name, named)
        return self._read[name]

    def _parsed(self, name: str, named: Setting) -> Setting | None:
        try:
            text = self._read_file(name)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
            self._problems.append(Problem(name, "", f"cannot be read: {reason}"))
            return None
        if text is None:
            why = "there is no such file in the workspace"
            self._problems.append(Problem(named.variable, show(name), why))
            return None
        try:
            return Setting(parse_parameters(text), name, named.rank)
        except InvalidValue as invalid:
            self._problems += problems_of(Setting("", name, named.rank), invalid)
            return None


def _mapping(setting: Setting) -> Mapping[str, Any]:
    return setting.value if isinstance(setting.value, Mapping) else {}
