"""Rows about images, zones, machine types and networks: which of the plan's zones can have its VMs. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus

from builder.check.answers import KINDS, Answer, Answers, known, regions_of
from builder.check.refusal import refused, words_of
from builder.check.row import Row, State, fail, ok
from builder.check_ports import MachineType, Network, Region, Subnetwork
from builder.errors import ExitCode
from builder.model import region_of
from builder.plan.build_plan import JobPlan, Plan
from builder.plan.subnetworks import allow_private_access, network_of
from builder.ports import CallFailed, Image, TypeKind

_MAX_SIMILAR = 3  # names like a mistyped one
_MAX_ZONES = 6  # of those that a row names


@dataclass(frozen=True)
class Fact:
    """A row, the zones that it rules out if it failed, and the jobs for which it rules them out.

    Without zones, the state of the row is final.
    """

    row: Row
    zones: frozenset[str] = frozenset()
    jobs: frozenset[str] = frozenset()


def with_final_states(plan: Plan, facts: Iterable[Fact], answers: Answers) -> list[Row]:
    """Return the facts' rows. A FAIL in some zones becomes NO if each job has another zone left."""
    every = list(facts)
    open_to = {job.job: set(answers.zones_of(job)) for job in plan.jobs}
    for fact in every:
        if fact.row.state is State.FAIL:
            for job in fact.jobs:
                open_to[job] -= fact.zones
    return [_with_final_state(fact, open_to) for fact in every]


def _with_final_state(fact: Fact, open_to: Mapping[str, set[str]]) -> Row:
    row = fact.row
    if row.state is State.FAIL and fact.zones and all(open_to[job] for job in fact.jobs):
        return replace(row, state=State.NO, code=ExitCode.GREEN)
    return row


def image_rows(plan: Plan, project: str, answers: Answers) -> Iterator[Row]:
    """One row for each image of the jobs."""
    for job in {str(job.image): job for job in plan.jobs}.values():
        yield _image(job, project, answers)


def _image(job: JobPlan, project: str, answers: Answers) -> Row:
    found = answers.images[job.image]
    owner = job.image.project
    what = "image family" if job.image.name is None else "image"
    where = f"{owner}/{job.image.family}" if job.image.name is None else job.image.path
    fix = f"gcloud compute images list --project={owner} --no-standard-images"
    if isinstance(found, Image):
        if found.obsolete:
            return fail(what, where, "is obsolete: no VM can be made from it", fix, ExitCode.BAD_INPUT)
        return ok(what, where, found.path.rpartition("/")[2] + (", deprecated" if found.deprecated else ""))
    if found.http_status != HTTPStatus.NOT_FOUND:
        return refused(what, where, found, project)
    families = known(answers.families.get(owner)) or ()
    current = f"; current families: {', '.join(families)}" if families else ""
    return fail(what, where, f"does not exist, or no longer{current}", fix, ExitCode.BAD_INPUT)


def zone_facts(plan: Plan, project: str, answers: Answers) -> Iterator[Fact]:
    """The rows about regions, machine types, accelerators and networks, each once."""
    of_types = [partial(_type_facts, kind) for kind in KINDS]
    looks: Sequence[Callable[[JobPlan, str, Answers], Iterator[Fact]]] = [
        _region_facts,
        *of_types,
        _network_facts,
    ]
    yield from _merged(fact for look in looks for job in plan.jobs for fact in look(job, project, answers))


def _merged(facts: Iterable[Fact]) -> list[Fact]:
    """The facts with equal rows joined."""
    found: dict[Row, Fact] = {}
    for fact in facts:
        before = found.get(fact.row, Fact(fact.row))
        found[fact.row] = Fact(fact.row, before.zones | fact.zones, before.jobs | fact.jobs)
    return list(found.values())


def _fact(job: JobPlan, row: Row, zones: Sequence[str]) -> Fact:
    return Fact(row, frozenset(zones), frozenset({job.job}))


def _region_facts(job: JobPlan, project: str, answers: Answers) -> Iterator[Fact]:
    for region in regions_of(job):
        found = answers.regions[region]
        if isinstance(found, Region):
            continue  # the rows about its quotas name it
        if found.http_status == HTTPStatus.NOT_FOUND:
            yield Fact(fail("region", region, words_of(found), "gcloud compute regions list"))
        else:
            yield Fact(refused("region", region, found, project))


def _type_facts(kind: TypeKind, job: JobPlan, project: str, answers: Answers) -> Iterator[Fact]:
    """The rows about the job's machine type, or about its accelerator."""
    what = "machine type" if kind == "machineTypes" else "accelerator"
    name, found = answers.type_of(job, kind)
    for zone, answer in found.items():
        row = (
            _no_type(what, zone, name, answer, project, _offer(kind, job, name, answers))
            if isinstance(answer, CallFailed)
            else ok(what, zone, f"{name}, {_described(answer)}")
        )
        yield _fact(job, row, [zone])


def _described(offered: MachineType | str) -> str:
    """The hardware of a machine type, or Google's description of an accelerator type."""
    if isinstance(offered, str):
        return offered
    gpus = [f"{count} x {name}" for name, count in offered.gpus.items()]
    return ", ".join([f"{offered.cpus} vCPUs", *gpus])


@dataclass(frozen=True)
class _Offer:
    """The zones that offer a type (None: not asked), and the names of similar types."""

    zones: Sequence[str] | None
    similar: Sequence[str]

    @property
    def is_mistyped(self) -> bool:
        """True if no zone offers a type of this name."""
        return self.zones is not None and not self.zones


def _offer(kind: TypeKind, job: JobPlan, name: str, answers: Answers) -> _Offer:
    names = known(answers.type_names.get((kind, answers.zones_of(job)[0]))) or ()
    similar = difflib.get_close_matches(name, names, n=_MAX_SIMILAR)
    return _Offer(known(answers.zones_with.get((kind, name))), similar)


def _no_type(  # noqa: PLR0917 - where, the type, its failure, and the other zones
    what: str, zone: str, name: str, failure: CallFailed, project: str, offer: _Offer
) -> Row:
    if failure.http_status != HTTPStatus.NOT_FOUND:
        return refused(what, zone, failure, project)
    kind = "machine-types" if what == "machine type" else "accelerator-types"
    fix = f'gcloud compute {kind} list --filter="name={name}"'
    found = f"there is no {name} in this zone"
    if f"/{name}'" not in failure.message and "/zones/" in failure.message:
        found, fix = "there is no such zone", "gcloud compute zones list"
    elif offer.is_mistyped:
        question = f"; did you mean {' or '.join(offer.similar)}?" if offer.similar else ""
        found = f"Compute Engine has {name} in no zone{question}"
        return fail(what, zone, found, f"gcloud compute {kind} list", ExitCode.BAD_INPUT)
    elif offer.zones:
        found += f"; it is in {', '.join(offer.zones[:_MAX_ZONES])}"
        found += " and others" if len(offer.zones) > _MAX_ZONES else ""
    return fail(what, zone, found, fix, ExitCode.NO_CAPACITY)


def _network_facts(job: JobPlan, project: str, answers: Answers) -> Iterator[Fact]:
    if job.options.subnetwork is None:
        owner, name = network_of(job.options, project)
        yield Fact(_network(owner, name, answers.networks[owner, name], project))
    for region in regions_of(job):
        if known(answers.regions[region]) is None:
            continue  # it has a row of its own
        zones = [zone for zone in answers.zones_of(job) if region_of(zone) == region]
        yield from _subnetwork_facts(job, project, region, zones, answers)


def _network(owner: str, name: str, found: Answer[Network], project: str) -> Row:
    what, where = "network", f"projects/{owner}/global/networks/{name}"
    if isinstance(found, Network):
        if found.auto:
            return ok(what, where, "exists, with a subnetwork in every region")
        named = ", ".join(sorted(set(found.subnetworks.values()))) or "none yet"
        return fail(
            what,
            where,
            f"is in custom mode: set NB_SUBNETWORK to one of its subnetworks ({named})",
            f"gcloud compute networks subnets list --project={owner} --network={name}",
        )
    if found.http_status == HTTPStatus.NOT_FOUND:
        fix = f"gcloud compute networks create {name} --project={owner} --subnet-mode=auto"
        return fail(what, where, "does not exist", fix)
    return refused(what, where, found, project)


def _subnetwork_facts(
    job: JobPlan, project: str, region: str, zones: Sequence[str], answers: Answers
) -> Iterator[Fact]:
    place = answers.subnetwork_of(job.options, project, region)
    if place is None:
        owner, name = network_of(job.options, project)
        network = known(answers.networks.get((owner, name)))
        if network is not None and network.auto:
            yield _fact(job, _no_subnetwork(owner, region, name, name), zones)
        return
    owner, where, name = place
    found = answers.subnetworks[place]
    if isinstance(found, Subnetwork):
        yield Fact(_subnetwork(place, found, external=job.options.external_ip))
    elif found.http_status == HTTPStatus.NOT_FOUND:
        yield _fact(job, _no_subnetwork(owner, where, name, job.options.network or "NETWORK"), zones)
    else:
        yield Fact(refused("subnetwork", f"{where}/{name}", found, project))


def _no_subnetwork(owner: str, region: str, name: str, network: str) -> Row:
    fix = (
        f"gcloud compute networks subnets create {name} --project={owner} --network={network.rpartition('/')[2]} "
        f"--region={region} --range=10.10.0.0/20 --enable-private-ip-google-access"
    )
    return fail("subnetwork", f"{region}/{name}", "does not exist in this region", fix)


def _subnetwork(place: tuple[str, str, str], found: Subnetwork, *, external: bool) -> Row:
    _, region, name = place
    what, where = "subnetwork", f"{region}/{name}"
    if external:
        return ok(what, where, "exists; VMs get an external address")
    if found.private_google_access:
        return ok(what, where, "exists, with Private Google Access")
    return fail(
        what,
        where,
        "Private Google Access is off: a VM without an external address reaches no API",
        allow_private_access(place),
    )
