"""Asks Google about a plan: all calls of a round at the same time, each once. A call that fails is an answer too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, TypeVar

from builder.check.answers import KINDS, Answer, Answers, regions_of
from builder.check.permissions import ACT_AS, OBJECTS, PROOFS, project_permissions, written_folders
from builder.check_ports import Bucket, Catalog
from builder.plan.build_plan import ImageChoice, Plan
from builder.plan.subnetworks import network_of
from builder.ports import CallFailed, Image, Machines, Project, TypeKind

K = TypeVar("K")
T = TypeVar("T")

_AT_ONCE = 16
_PROBE = "check"  # the name of the object that no check creates


@dataclass(frozen=True)
class Clients:
    """The clients that the preflight asks."""

    machines: Machines
    catalog: Catalog
    project: Project
    bucket: Bucket


def ask_all(plan: Plan, project: str, clients: Clients) -> Answers:
    """All answers that the plan's rows need. Changes nothing; a failed call is kept as its CallFailed."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = _first(plan, project, clients, _Round(pool))
        answers = _further(plan, project, answers, clients, _Round(pool))
        return _missing_types(plan, answers, clients, _Round(pool))


class _Round:
    """Calls that are made at the same time.

    `one` and `each` start them; the functions that they return wait for the answers.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def one(self, call: Callable[[], T]) -> Callable[[], Answer[T]]:
        return self._pool.submit(_answer, call).result

    def each(self, call: Callable[[K], T], keys: Iterable[K]) -> Callable[[], Mapping[K, Answer[T]]]:
        def bound(key: K) -> Callable[[], T]:
            return lambda: call(key)

        started: dict[K, Future[Answer[T]]] = {
            key: self._pool.submit(_answer, bound(key)) for key in dict.fromkeys(keys)
        }
        return lambda: {key: future.result() for key, future in started.items()}


def _answer(call: Callable[[], T]) -> Answer[T]:
    try:
        return call()
    except CallFailed as failure:
        return failure


def _first(plan: Plan, project: str, clients: Clients, ask: _Round) -> Answers:
    """The answers that need no other answer."""
    jobs, client = plan.jobs, clients.project
    emails = [job.options.vm_service_account for job in jobs]
    started: dict[str, Callable[[], Any]] = {
        "caller": ask.one(client.caller),
        "project_permissions": ask.one(lambda: client.permissions(project_permissions(plan))),
        "bucket": ask.one(clients.bucket.settings),
        "bucket_permissions": ask.one(lambda: clients.bucket.permissions(OBJECTS)),
        "folders": ask.each(
            lambda folder: clients.bucket.try_create(plan.location.object(folder, _PROBE)),
            (*written_folders(plan), PROOFS),
        ),
        "quotas": ask.one(clients.catalog.quotas),
        "accounts": ask.each(client.service_account_disabled, emails),
        "account_permissions": ask.each(
            lambda email: client.service_account_permissions(email, (ACT_AS,)), emails
        ),
        "images": ask.each(lambda choice: _image(clients.machines, choice), [job.image for job in jobs]),
        "regions": ask.each(clients.catalog.region, [region for job in jobs for region in regions_of(job)]),
        "networks": ask.each(
            lambda place: clients.catalog.network(*place),
            [network_of(job.options, project) for job in jobs if job.options.subnetwork is None],
        ),
    }
    return Answers(**{name: answer() for name, answer in started.items()})


def _image(machines: Machines, choice: ImageChoice) -> Image:
    if choice.name is None:
        return machines.image_of_family(choice.project, choice.family or "")
    return machines.image(choice.path)


def _further(plan: Plan, project: str, answers: Answers, clients: Clients, ask: _Round) -> Answers:
    """The answers that need the first ones: types in each zone, subnetworks, and families beside a missing image."""
    catalog = clients.catalog
    zones = [(job, zone) for job in plan.jobs for zone in answers.zones_of(job)]
    places = (
        answers.subnetwork_of(job.options, project, region) for job in plan.jobs for region in regions_of(job)
    )
    started: dict[str, Callable[[], Any]] = {
        "machine_types": ask.each(
            lambda key: catalog.machine_type(*key), [(zone, job.options.machine_type) for job, zone in zones]
        ),
        "accelerators": ask.each(
            lambda key: catalog.accelerator_type(*key),
            [
                (zone, job.options.accelerator.type)
                for job, zone in zones
                if job.options.accelerator is not None
            ],
        ),
        "subnetworks": ask.each(lambda place: catalog.subnetwork(*place), filter(None, places)),
        "families": ask.each(
            catalog.image_families,
            [choice.project for choice, image in answers.images.items() if _is_missing(image)],
        ),
    }
    return replace(answers, **{name: answer() for name, answer in started.items()})


def _missing_types(plan: Plan, answers: Answers, clients: Clients, ask: _Round) -> Answers:
    """The answers that distinguish a mistyped type from one that only other zones offer."""
    missing = list(dict.fromkeys(_missing(plan, answers)))
    zones_with = ask.each(
        lambda key: clients.machines.zones_with(*key), [(kind, name) for kind, name, _ in missing]
    )
    names = ask.each(
        lambda key: clients.machines.type_names(*key), [(kind, zone) for kind, _, zone in missing]
    )
    return replace(answers, zones_with=zones_with(), type_names=names())


def _missing(plan: Plan, answers: Answers) -> Iterator[tuple[TypeKind, str, str]]:
    """Kind and name of each type that no allowed zone offers, and the first allowed zone."""
    for job in plan.jobs:
        for kind in KINDS:
            name, found = answers.type_of(job, kind)
            custom = kind == "machineTypes" and "custom" in name  # which is in no list
            if not custom and _in_none(name, found.values()):
                yield kind, name, next(iter(found))


def _in_none(name: str, found: Collection[object]) -> bool:
    """True if there are zones, and each of them exists and offers no type of this name."""
    return bool(found) and all(
        isinstance(answer, CallFailed) and _is_missing(answer) and f"/{name}'" in answer.message
        for answer in found
    )


def _is_missing(answer: object) -> bool:
    return isinstance(answer, CallFailed) and answer.http_status == HTTPStatus.NOT_FOUND
