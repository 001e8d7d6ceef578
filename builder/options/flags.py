"""Reads the command line: the command, its format, and a flag for every option of the table."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder import __version__
from builder.errors import Problem
from builder.options.commands import ACTIONS, BACKFILL, COMMANDS, FORMATS, PLANNING
from builder.options.option import COMMENT, GROUPS, Option
from builder.options.table import OPTIONS
from builder.plain_text import escaped

if TYPE_CHECKING:
    from builder.options.day import DayRange

PROGRAM = "notebook-builder"
_EPILOG = """\
Most flags are also an environment variable (--machine-type is NB_MACHINE_TYPE) and a key of notebooks.yaml
(machine_type). Flags come first, then the environment, then notebooks.yaml, then defaults. "notebook-builder options"
prints these options.
"""


@dataclass(frozen=True)
class CommandLine:
    """The parsed command line. `given` maps an option's name to its flag's value, as text."""

    command: str
    format: str
    given: Mapping[str, str]
    problems: tuple[Problem, ...]
    whole: bool = True  # False: a mistake ended the parsing, so later flags are unknown
    # What the command does instead of, or beside, what it does without it: see ACTIONS. A range of days is that of
    # `deploy --backfill`.
    action: str | DayRange = ""


def read_command_line(argv: Sequence[str]) -> CommandLine:
    """Return the command line with all its problems. `--help` and `--version` print and raise SystemExit(0)."""
    command, rest = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("run", argv)
    if command not in COMMANDS:
        return CommandLine(command, "text", {}, (_unknown_command(command),))
    parser = _parser(command)
    try:
        found, extra = parser.parse_known_args(list(rest))
    except argparse.ArgumentError as error:
        problem = Problem(
            error.argument_name or "command line", "", f"{error.message}; see {PROGRAM} {command} --help"
        )
        return CommandLine(command, "text", {}, (problem,), whole=False)
    problems = [_unknown_argument(argument, command) for argument in _without_values(extra)]
    formats = FORMATS.get(command, ("text",))
    # Older Pythons make an empty list of the value "--" (CPython issue 109475).
    given = {name: value for name, value in vars(found).items() if value is not None}
    chosen, action, days = (
        given.pop("output_format", "text"),
        given.pop("action", ""),
        given.pop("days", None),
    )
    texts = {name: [value if isinstance(value, str) else "--" for value in given[name]] for name in given}
    problems += [
        Problem(
            option.flag,
            escaped(texts[option.name][-1]),
            "is given twice; several values need commas between them",
        )
        for option in OPTIONS
        if len(texts.get(option.name, ())) > 1
    ]
    if chosen not in formats:
        problems.append(Problem("--format", escaped(chosen), "expected one of " + ", ".join(formats)))
    if action == "boot" and chosen != "text":
        problems.append(Problem("--boot", "", "prints the log of a run, so that --format must be text"))
    chosen_action = action if days is None else _days(days, problems)
    last = {name: values[-1] for name, values in texts.items()}
    return CommandLine(command, chosen, last, tuple(problems), action=chosen_action)


def _days(given: str, problems: list[Problem]) -> DayRange | str:
    """Return the range of days. Adds a problem for a wrong one, and returns its text."""
    # Here, because time zones are slow to import, and no run has a range.
    from builder.options.day import read_range

    try:
        return read_range(given)
    except ValueError as error:
        problems.append(Problem("--backfill", escaped(given), str(error)))
        return given


def _parser(command: str) -> argparse.ArgumentParser:
    listing = "".join(f"\n  {name:10}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} {command}",
        usage=f"{PROGRAM} {command} [flags]",
        description=f"{command}: {COMMANDS[command]}\n\ncommands:{listing}",
        epilog=_EPILOG if command in PLANNING else "",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    if command in FORMATS:
        parser.add_argument(
            "--format",
            dest="output_format",
            default="text",
            metavar="FORMAT",
            help=", ".join(FORMATS[command]),
        )
    if command in ACTIONS:
        actions = parser.add_mutually_exclusive_group()
        for name, text in ACTIONS[command].items():
            actions.add_argument(f"--{name}", dest="action", action="store_const", const=name, help=text)
        if command == "deploy":
            actions.add_argument("--backfill", dest="days", metavar="FROM..TO", help=BACKFILL)
    taken = _taken_by(command)
    for title in GROUPS:
        if options := [option for option in taken if option.group == title]:
            _add_group(parser, title, options)
    return parser


def _taken_by(command: str) -> Sequence[Option]:
    """Return the options whose flags a command takes. `run` takes those of `deploy` too: one list serves both."""
    if command in PLANNING:
        return [option for option in OPTIONS if option.group != COMMENT]
    return [option for option in OPTIONS if command in option.commands]


def _add_group(parser: argparse.ArgumentParser, title: str, options: Sequence[Option]) -> None:
    group = parser.add_argument_group(title)
    for option in options:
        shown = f"{option.help} Default: {option.shown}.".replace("`", "").replace("%", "%%")
        required = f"{option.help} Required.".replace("`", "").replace("%", "%%")
        text = required if option.required else shown
        if option.switch:
            group.add_argument(
                option.flag,
                dest=option.name,
                action="append",
                nargs="?",
                const="true",
                metavar="true|false",
                help=text,
            )
        else:
            kind = {"integer": "N", "string": "TEXT"}.get(str(option.type.schema.get("type")), "LIST")
            group.add_argument(option.flag, dest=option.name, action="append", metavar=kind, help=text)


def nearest(word: str, known: Sequence[str]) -> str | None:
    """Return the closest known word that is at most two letters away, or None."""
    best, least = None, 3
    for candidate in known:
        if abs(len(candidate) - len(word)) < least and (away := _distance(word, candidate)) < least:
            best, least = candidate, away
    return best


def _distance(one: str, other: str) -> int:
    """Return Levenshtein's distance."""
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        diagonal, row[0] = row[0], index
        for column, wanted in enumerate(other, 1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (letter != wanted)),
            )
    return row[-1]


def _unknown_command(command: str) -> Problem:
    expected = "expected one of " + ", ".join(COMMANDS)
    meant = nearest(command, list(COMMANDS))
    return Problem("command", escaped(command), f"{expected}; did you mean {meant}?" if meant else expected)


def _without_values(extra: Sequence[str]) -> list[str]:
    """Return the unknown arguments without the probable values of unknown flags."""
    before = ["", *extra]
    return [
        word
        for last, word in zip(before, extra, strict=False)
        if word.startswith("--") or not last.startswith("--")
    ]


def _unknown_argument(argument: str, command: str) -> Problem:
    name = argument.partition("=")[0]
    if not name.startswith("--"):
        return Problem(
            "command line",
            escaped(argument),
            "expected flags only; the command comes first, notebooks go into --notebooks",
        )
    known = ["--help", "--version"] + (["--format"] if command in FORMATS else [])
    known += [f"--{name}" for name in ACTIONS.get(command, ())]
    known += ["--backfill"] if command == "deploy" else []
    known += [option.flag for option in _taken_by(command)]
    meant = nearest(name, known)
    return Problem(
        escaped(name), "", f"no such flag; did you mean {meant}?" if meant else "no such flag; see --help"
    )
