"""What an event asks of a run: which day is today, and what each notebook's jobs get. Pure; the caller reads the clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from builder.errors import BadInput, Problem
from builder.model import Notebook
from builder.options import JobOptions, Options
from builder.options.day import day_of, moment
from builder.options.message import (
    Declared,
    Kinds,
    Message,
    expected_kind,
    fits,
    read_message,
    unfit_parameters,
)
from builder.options.parameters import MATRIX, names_and_values, plain
from builder.options.templates import TemplateMistake, render
from builder.plan.kinds import parameter_kinds
from builder.plan.notebooks import check_parameters

_EVENT, _SCHEDULE = "NB_EVENT", "NB_SCHEDULE_PARAMETERS (schedule_parameters)"
# Of a template's value only the kind is asked for, and that is the same on every day.
_ANY_DAY = date(2000, 2, 29)


@dataclass(frozen=True)
class Asked:
    """What a run is asked for beside its options: the day, and the event's message where there was an event."""

    today: date
    message: Message | None = None


def asked_of(options: Options, now: datetime) -> Asked:
    """The message's day, else the event's in the schedule's time zone, else the day that it is there now.

    Raises BadInput for a time that is no day in any calendar.
    """
    event = options.event
    message = read_message(event.message) if event else None
    if message is not None and message.today is not None:
        return Asked(message.today, message)
    try:
        when = moment(event.time) if event and event.time else now
        return Asked(day_of(when, options.time_zone), message)
    except OverflowError as error:
        expected = "leads out of the calendar's years, 1 to 9999"
        raise BadInput([Problem("NB_EVENT_TIME", str(event and event.time), expected)]) from error


def given_parameters(wanted: JobOptions, notebook: Notebook, asked: Asked) -> Mapping[str, Any]:
    """What the notebook's jobs get, as NB_PARAMETERS has it: CI's, over them the schedule's of that day, over them the message's.

    Without an event they are CI's. A name that is given over CI's matrix replaces its list. Raises TemplateMistake.
    """
    if asked.message is None:
        return wanted.parameters
    scheduled = _over(wanted.parameters, render(wanted.schedule_parameters, asked.today))
    return _over(scheduled, _own(wanted, notebook, asked.message))


def scheduled_kinds(wanted: JobOptions, notebook: Notebook) -> Kinds:
    """What a message may give to this notebook, by name: of which kind the value has to be."""
    given = _over(wanted.parameters, render(wanted.schedule_parameters, _ANY_DAY))
    return parameter_kinds(notebook, given)


def parameter_problems(
    wanted: JobOptions, notebook: Notebook, asked: Asked, *, source: str
) -> Iterator[Problem]:
    """What is wrong with CI's, the schedule's and the message's parameters for one notebook.

    The schedule's are looked at without an event, too, so that CI finds their mistakes. `source` names where CI's come from.
    What is wrong with the message by itself, or for all notebooks together, is told by `message_problems`.
    """
    yield from check_parameters(notebook, names_and_values(wanted.parameters), variable=source)
    yield from check_parameters(notebook, wanted.schedule_parameters, variable=_SCHEDULE)
    yield from _other_kinds(wanted, notebook)
    if asked.message is not None:
        yield from _undated(wanted.schedule_parameters, asked)


def message_problems(asked: Asked, declared: Sequence[Declared]) -> list[Problem]:
    """What is wrong with the message's parameters, by what each chosen notebook takes: just what the function refuses, too."""
    given = asked.message.parameters if asked.message else {}
    return [Problem(_EVENT, "", mistake) for mistake in unfit_parameters(given, declared)]


def _own(wanted: JobOptions, notebook: Notebook, message: Message) -> dict[str, Any]:
    """The message's parameters that this notebook declares; the others are for other notebooks."""
    known = scheduled_kinds(wanted, notebook)
    return {name: value for name, value in message.parameters.items() if name in known}


def _over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Both, the upper's single values in place of the lower's, of lists in its matrix, too."""
    lists = {name: values for name, values in lower.get(MATRIX, {}).items() if name not in upper}
    return {**plain(lower), **upper, **({MATRIX: lists} if lists else {})}


def _other_kinds(wanted: JobOptions, notebook: Notebook) -> Iterator[Problem]:
    """The schedule's values that are of another kind than those that CI runs the notebook with."""
    proven = parameter_kinds(notebook, wanted.parameters)
    for name, value in render(wanted.schedule_parameters, _ANY_DAY).items():
        kind = proven.get(name, "")
        if not fits(value, kind):
            yield Problem(
                _SCHEDULE, name, f"{expected_kind(kind)}, as CI's value is or else the notebook's default"
            )


def _undated(templates: Mapping[str, Any], asked: Asked) -> Iterator[Problem]:
    """Templates that lead nowhere on this day: the fault of a message that chose the day."""
    chosen = asked.message is not None and asked.message.today is not None
    for name, value in templates.items():
        try:
            render(value, asked.today)
        except TemplateMistake as mistake:
            if chosen:
                yield Problem(_EVENT, f"today {asked.today}", f"the schedule's {name} {mistake}")
            else:
                yield Problem(_SCHEDULE, name, f"on {asked.today}: {mistake}")
