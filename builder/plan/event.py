"""The effect of an event on a run: its day, and the parameters of each notebook's jobs. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from builder.errors import BadInput, Problem
from builder.model import Notebook
from builder.options import JobOptions, Options
from builder.options.day import day_of, moment
from builder.options.message import (
    AcceptedParameters,
    Message,
    ParameterTypes,
    expected_type,
    fits,
    parameter_faults,
    read_message,
)
from builder.options.parameters import MATRIX, names_and_values, plain
from builder.options.templates import TemplateMistake, render
from builder.plan.notebooks import check_parameters
from builder.plan.papermill_parameters import evaluates_texts
from builder.plan.parameter_types import parameter_types
from builder.plan.slugs import values_slug

_EVENT, _SCHEDULE = "NB_EVENT", "NB_SCHEDULE_PARAMETERS (schedule_parameters)"
# The type of a template's value is the same on every day.
_ANY_DAY = date(2000, 2, 29)


@dataclass(frozen=True)
class RunRequest:
    """The day that a run is for, and the event's message if an event asked for the run.

    `requested_on` is the event's own day, which differs from `today` if the message chose another day.
    """

    today: date
    requested_on: date
    message: Message | None = None


def run_request(options: Options, now: datetime) -> RunRequest:
    """Return the request for this run. Its day is the message's, else that of the event or of `now` in NB_TIME_ZONE.

    Raises BadInput for a time outside the calendar's years.
    """
    message = None if options.event is None else read_message(options.event)
    try:
        when = moment(options.event_time) if message is not None and options.event_time else now
        requested_on = day_of(when, options.time_zone)
    except OverflowError as error:
        expected = "is outside the years 1 to 9999"
        raise BadInput([Problem("NB_EVENT_TIME", str(options.event_time), expected)]) from error
    chosen = message.today if message is not None else None
    return RunRequest(chosen or requested_on, requested_on, message)


def day_folder(request: RunRequest) -> str:
    """Return the folder below the location in which a run of an event publishes its jobs' folders.

    A message with values gets a folder of its own below the day's, so that it does not replace the day's results,
    unless it says `publish`. No name of a job has an equals sign.
    """
    folder = f"versions/{request.today.isoformat()}"
    message = request.message or Message()
    return (
        folder if message.publish or not message.parameters else f"{folder}/{values_slug(message.parameters)}"
    )


def can_be_latest(request: RunRequest) -> bool:
    """True if the results are a day's own, and this day is not in the future: a mistyped year would stay the latest."""
    if request.message is None or "/" in day_folder(request).removeprefix("versions/"):
        return False
    return request.today <= request.requested_on


def given_parameters(wanted: JobOptions, notebook: Notebook, request: RunRequest) -> Mapping[str, Any]:
    """Return the parameters of the notebook's jobs, in the form of NB_PARAMETERS.

    Without an event, they are CI's. With one, the schedule's replace CI's, name by name, and the message's replace
    both. A parameter also replaces a list in CI's matrix. Raises TemplateMistake.
    """
    if request.message is None:
        return wanted.parameters
    scheduled = _over(wanted.parameters, render(wanted.schedule_parameters, request.today))
    return _over(scheduled, _own(wanted, notebook, request.message))


def scheduled_types(wanted: JobOptions, notebook: Notebook) -> ParameterTypes:
    """Return the type that a message's value must have, by the name of each parameter of this notebook."""
    given = _over(wanted.parameters, render(wanted.schedule_parameters, _ANY_DAY))
    return parameter_types(notebook, given)


def parameter_problems(
    wanted: JobOptions, notebook: Notebook, request: RunRequest, *, source: str
) -> Iterator[Problem]:
    """Yield the problems in the parameters that one notebook gets from CI, the schedule and the message.

    The schedule's parameters are checked without an event, too, so that CI finds their mistakes. `source` names the
    origin of CI's parameters. `message_problems` yields the problems of the message itself.
    """
    yield from check_parameters(notebook, names_and_values(wanted.parameters), variable=source)
    yield from check_parameters(notebook, wanted.schedule_parameters, variable=_SCHEDULE)
    yield from _other_types(wanted, notebook)
    if request.message is not None:
        yield from _undated(wanted.schedule_parameters, request)
        yield from _evaluated(notebook, _own(wanted, notebook, request.message))


def message_problems(request: RunRequest, declared: Sequence[AcceptedParameters]) -> list[Problem]:
    """Return the problems in the message's parameters, for which the Cloud Function refuses it, too."""
    given = request.message.parameters if request.message else {}
    return [Problem(_EVENT, "", mistake) for mistake in parameter_faults(given, declared)]


def _own(wanted: JobOptions, notebook: Notebook, message: Message) -> dict[str, Any]:
    """Return the message's parameters that this notebook declares; the others belong to other notebooks."""
    known = scheduled_types(wanted, notebook)
    return {name: value for name, value in message.parameters.items() if name in known}


def _evaluated(notebook: Notebook, given: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each text of a message that would be code in the notebook's language."""
    if evaluates_texts(notebook.language, notebook.kernel):
        for name, value in given.items():
            if re.search(r"[$`]", json.dumps(value)):
                expected = f"a message's text with $ or a backtick would be code in {notebook.path}"
                yield Problem(_EVENT, name, f"{expected}, whose language is {notebook.language}")


def _over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return both; a single value of `upper` replaces the value or the matrix list of `lower`."""
    lists = {name: values for name, values in lower.get(MATRIX, {}).items() if name not in upper}
    return {**plain(lower), **upper, **({MATRIX: lists} if lists else {})}


def _other_types(wanted: JobOptions, notebook: Notebook) -> Iterator[Problem]:
    """Yield a problem for each value of the schedule whose type differs from the one that CI runs the notebook with."""
    proven = parameter_types(notebook, wanted.parameters)
    for name, value in render(wanted.schedule_parameters, _ANY_DAY).items():
        wanted_type = proven.get(name, "")
        if not fits(value, wanted_type):
            yield Problem(
                _SCHEDULE,
                name,
                f"{expected_type(wanted_type)}, as CI's value is or else the notebook's default",
            )


def _undated(templates: Mapping[str, Any], request: RunRequest) -> Iterator[Problem]:
    """Yield a problem for each template without a value on this day. A message that chose the day is at fault."""
    chosen = request.message is not None and request.message.today is not None
    for name, value in templates.items():
        try:
            render(value, request.today)
        except TemplateMistake as mistake:
            if chosen:
                yield Problem(_EVENT, f"today {request.today}", f"the schedule's {name} {mistake}")
            else:
                yield Problem(_SCHEDULE, name, f"on {request.today}: {mistake}")
