"""Reads the command line: the command, its format, and a flag for every option of the table."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builder import __version__
from builder.errors import Problem
from builder.options.table import COMMANDS, DEPLOY_ACTIONS, FORMATS, GROUPS, OPTIONS, PLANNING
from builder.options.values import printable

PROGRAM = "notebook-builder"
_EPILOG = """\
Each flag is also an environment variable (--machine-type is NB_MACHINE_TYPE) and a key of notebooks.yaml (machine_type).
Flags come first, then the environment, then notebooks.yaml, then defaults. "notebook-builder options" prints them all.
"""


@dataclass(frozen=True)
class CommandLine:
    """What the command line says; `given` maps an option's name to its flag's value, as text."""

    command: str
    format: str
    given: Mapping[str, str]
    problems: tuple[Problem, ...]
    whole: bool = (
        True  # False: reading stopped at a mistake, so a flag that is missing may yet have been given
    )
    action: str = ""  # what `deploy` does instead of putting something live: see DEPLOY_ACTIONS


def read_command_line(argv: Sequence[str]) -> CommandLine:
    """Reads it all before judging. `--help` and `--version` print and raise SystemExit(0), as argparse does."""
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
    texts = {
        name: value if isinstance(value, str) else "--"
        for name, value in vars(found).items()
        if value is not None
    }
    chosen, action = texts.pop("output_format", "text"), texts.pop("action", "")
    if chosen not in formats:
        problems.append(Problem("--format", printable(chosen), "expected one of " + ", ".join(formats)))
    return CommandLine(command, chosen, texts, tuple(problems), action=action)


class _Parser(argparse.ArgumentParser):
    """An argparse parser that never leaves the process on a mistake."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse exits here; we report
        raise argparse.ArgumentError(None, message)


def _parser(command: str) -> _Parser:
    listing = "".join(f"\n  {name:10}{text}" for name, text in COMMANDS.items())
    parser = _Parser(
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
    if command == "deploy":
        actions = parser.add_mutually_exclusive_group()
        for name, text in DEPLOY_ACTIONS.items():
            actions.add_argument(f"--{name}", dest="action", action="store_const", const=name, help=text)
    for group in GROUPS if command in PLANNING else ():
        _add_group(parser, group)
    return parser


def _add_group(parser: _Parser, title: str) -> None:
    """Flags of options that this version refuses are read too, so that the refusal can name them, but not shown."""
    group = parser.add_argument_group(title)
    for option in OPTIONS:
        if option.group != title:
            continue
        shown = f"{option.help} Default: {option.shown}.".replace("`", "").replace("%", "%%")
        required = f"{option.help} Required.".replace("`", "").replace("%", "%%")
        text = (required if option.required else shown) if option.available else argparse.SUPPRESS
        if option.switch:
            group.add_argument(
                option.flag, dest=option.name, nargs="?", const="true", metavar="true|false", help=text
            )
        else:
            kind = {"integer": "N", "string": "TEXT"}.get(str(option.schema.get("type")), "LIST")
            group.add_argument(option.flag, dest=option.name, metavar=kind, help=text)


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that is at most two letters away, the closest one; None where there is none."""
    best, least = None, 3
    for candidate in known:
        if abs(len(candidate) - len(word)) < least and (away := _distance(word, candidate)) < least:
            best, least = candidate, away
    return best


def _distance(one: str, other: str) -> int:
    """Levenshtein's distance."""
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
    return Problem("command", printable(command), f"{expected}; did you mean {meant}?" if meant else expected)


def _without_values(extra: Sequence[str]) -> list[str]:
    """What argparse could not place, without the words that are most likely values of unknown flags."""
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
            printable(argument),
            "expected flags only; the command comes first, notebooks go into --notebooks",
        )
    known = ["--help", "--version"] + (["--format"] if command in FORMATS else [])
    if command == "deploy":
        known += [f"--{name}" for name in DEPLOY_ACTIONS]
    if command in PLANNING:
        known += [option.flag for option in OPTIONS]
    meant = nearest(name, known)
    return Problem(
        printable(name), "", f"no such flag; did you mean {meant}?" if meant else "no such flag; see --help"
    )
