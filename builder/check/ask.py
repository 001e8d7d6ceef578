"""Asks the questions, all at the same time; one that fails is an answer too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from builder.check import answers as ask
from builder.check.answers import Answers, Question
from builder.check.questions import first, further
from builder.plan.make import Plan
from builder.ports import Bucket, CallFailed, Catalog, Machines, Project

_AT_ONCE = 16


@dataclass(frozen=True)
class Doors:
    """Where answers come from."""

    machines: Machines
    catalog: Catalog
    project: Project
    bucket: Bucket


_CALLS: Mapping[str, Callable[[Doors, tuple[str, ...]], object]] = {
    ask.CALLER: lambda doors, _: doors.project.caller(),
    ask.PROJECT_PERMISSIONS: lambda doors, asked: doors.project.permissions(asked),
    ask.BUCKET: lambda doors, _: doors.bucket.settings(),
    ask.BUCKET_PERMISSIONS: lambda doors, asked: doors.bucket.permissions(asked),
    ask.ACCOUNT: lambda doors, about: doors.project.service_account(*about),
    ask.ACCOUNT_PERMISSIONS: lambda doors, about: doors.project.service_account_permissions(
        about[0], about[1:]
    ),
    ask.FAMILY: lambda doors, about: doors.machines.image_of_family(*about),
    ask.IMAGE: lambda doors, about: doors.machines.image(*about),
    ask.FAMILIES: lambda doors, about: tuple(doors.catalog.image_families(*about)),
    ask.REGION: lambda doors, about: doors.catalog.region(*about),
    ask.QUOTAS: lambda doors, _: doors.catalog.quotas(),
    ask.MACHINE_TYPE: lambda doors, about: doors.catalog.machine_type(*about),
    ask.ACCELERATOR_TYPE: lambda doors, about: doors.catalog.accelerator_type(*about),
    ask.NETWORK: lambda doors, about: doors.catalog.network(*about),
    ask.SUBNETWORK: lambda doors, about: doors.catalog.subnetwork(*about),
}


def ask_all(plan: Plan, project: str, doors: Doors) -> Answers:
    """All answers that the plan's rows need. Changes nothing; a refused call is kept as its CallFailed."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = Answers(_asked(first(plan, project), doors, pool))
        return answers.plus(_asked(further(plan, project, answers), doors, pool))


def _asked(
    questions: Sequence[Question], doors: Doors, pool: ThreadPoolExecutor
) -> Mapping[Question, object]:
    return dict(zip(questions, pool.map(lambda question: _answer(question, doors), questions), strict=True))


def _answer(question: Question, doors: Doors) -> object:
    try:
        return _CALLS[question.call](doors, question.about)
    except CallFailed as failure:
        return failure
