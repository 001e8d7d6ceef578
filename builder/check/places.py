"""Rows about images, zones, machines and networks: what of a plan's places can have its VMs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from builder.check import answers as ask
from builder.check.answers import Answers
from builder.check.questions import image_question, network_of, regions_of, subnetwork_of, zones_of
from builder.check.refusal import refused, said
from builder.check.row import Row, State, fail, ok
from builder.errors import ExitCode
from builder.model import region_of
from builder.plan.make import JobPlan, Plan
from builder.ports import CallFailed, Image, MachineType, Network, Region, Subnetwork

_NOT_FOUND = 404


@dataclass(frozen=True)
class Fact:
    """A row, and what its FAIL closes: these zones to these jobs. A fact that closes nothing counts as it stands."""

    row: Row
    zones: frozenset[str] = frozenset()
    jobs: frozenset[str] = frozenset()


def settled(plan: Plan, facts: Iterable[Fact], answers: Answers) -> list[Row]:
    """The facts' rows: what fails in some places is NO while each job has another place left."""
    every = list(facts)
    open_to = {job.job: set(zones_of(job, answers)) for job in plan.jobs}
    for fact in every:
        if fact.row.state is State.FAIL:
            for job in fact.jobs:
                open_to[job] -= fact.zones
    return [_settled(fact, open_to) for fact in every]


def _settled(fact: Fact, open_to: Mapping[str, set[str]]) -> Row:
    row = fact.row
    if row.state is State.FAIL and fact.zones and all(open_to[job] for job in fact.jobs):
        return replace(row, state=State.NO, code=ExitCode.GREEN)
    return row


def image_rows(plan: Plan, project: str, answers: Answers) -> Iterator[Row]:
    """One row for each image that the jobs ask for."""
    for job in {str(job.image): job for job in plan.jobs}.values():
        yield _image(job, project, answers)


def _image(job: JobPlan, project: str, answers: Answers) -> Row:
    question = image_question(job.image)
    found = answers.of(Image, question.call, *question.about)
    owner = job.image.project
    what = "image family" if job.image.name is None else "image"
    where = f"{owner}/{job.image.family}" if job.image.name is None else job.image.path
    mend = f"gcloud compute images list --project={owner} --no-standard-images"
    if isinstance(found, Image):
        if found.obsolete:
            return fail(what, where, "is obsolete: no VM can be made from it", mend, ExitCode.BAD_INPUT)
        return ok(what, where, found.path.rpartition("/")[2] + (", deprecated" if found.deprecated else ""))
    if found.http_status != _NOT_FOUND:
        return refused(what, where, found, project)
    families: tuple[str, ...] = answers.value(tuple, ask.FAMILIES, owner) or ()
    current = f"; current families: {', '.join(families)}" if families else ""
    return fail(what, where, f"there is none (any more){current}", mend, ExitCode.BAD_INPUT)


def place_facts(plan: Plan, project: str, answers: Answers) -> Iterator[Fact]:
    """What is known of regions, machine types, accelerators and networks, each row once."""
    yield from _merged(
        fact
        for look in (_region_facts, _machine_facts, _accelerator_facts, _network_facts)
        for job in plan.jobs
        for fact in look(job, project, answers)
    )


def _merged(facts: Iterable[Fact]) -> list[Fact]:
    """Equal rows of several jobs become one."""
    found: dict[Row, Fact] = {}
    for fact in facts:
        known = found.get(fact.row, Fact(fact.row))
        found[fact.row] = Fact(fact.row, known.zones | fact.zones, known.jobs | fact.jobs)
    return list(found.values())


def _fact(job: JobPlan, row: Row, zones: Sequence[str]) -> Fact:
    return Fact(row, frozenset(zones), frozenset({job.job}))


def _region_facts(job: JobPlan, project: str, answers: Answers) -> Iterator[Fact]:
    for region in regions_of(job):
        found = answers.of(Region, ask.REGION, region)
        if isinstance(found, Region):
            continue  # its quotas tell of it
        if found.http_status == _NOT_FOUND:
            yield Fact(fail("region", region, said(found), "gcloud compute regions list"))
        else:
            yield Fact(refused("region", region, found, project))


def _machine_facts(job: JobPlan, project: str, answers: Answers) -> Iterator[Fact]:
    name = job.vm.machine_type
    for zone in zones_of(job, answers):
        found = answers.of(MachineType, ask.MACHINE_TYPE, zone, name)
        row = (
            ok("machine type", zone, f"{name}, {_in_words(found)}")
            if isinstance(found, MachineType)
            else _not_there("machine type", zone, name, found, project)
        )
        yield _fact(job, row, [zone])


def _in_words(machine: MachineType) -> str:
    gpus = [f"{count} x {name}" for name, count in machine.gpus.items()]
    return ", ".join([f"{machine.cpus} vCPUs", *gpus])


def _accelerator_facts(job: JobPlan, project: str, answers: Answers) -> Iterator[Fact]:
    if job.vm.accelerator is None:
        return
    name = job.vm.accelerator.type
    for zone in zones_of(job, answers):
        found = answers.of(str, ask.ACCELERATOR_TYPE, zone, name)
        row = (
            _not_there("accelerator", zone, name, found, project)
            if isinstance(found, CallFailed)
            else ok("accelerator", zone, f"{name}, {found}")
        )
        yield _fact(job, row, [zone])


def _not_there(what: str, zone: str, name: str, failure: CallFailed, project: str) -> Row:
    if failure.http_status != _NOT_FOUND:
        return refused(what, zone, failure, project)
    kind = "machine-types" if what == "machine type" else "accelerator-types"
    mend = f'gcloud compute {kind} list --filter="name={name}"'
    found = f"there is no {name} in this zone"
    if f"/{name}'" not in failure.message and "/zones/" in failure.message:
        found, mend = "there is no such zone", "gcloud compute zones list"
    return fail(what, zone, found, mend, ExitCode.NO_CAPACITY)


def _network_facts(job: JobPlan, project: str, answers: Answers) -> Iterator[Fact]:
    if job.vm.subnetwork is None:
        owner, name = network_of(job.vm, project)
        yield Fact(_network(owner, name, answers.of(Network, ask.NETWORK, owner, name), project))
    for region in regions_of(job):
        if answers.value(Region, ask.REGION, region) is None:
            continue  # told above
        zones = [zone for zone in zones_of(job, answers) if region_of(zone) == region]
        yield from _subnetwork_facts(job, project, region, zones, answers)


def _network(owner: str, name: str, found: Network | CallFailed, project: str) -> Row:
    what, where = "network", f"projects/{owner}/global/networks/{name}"
    if isinstance(found, Network):
        if found.auto:
            return ok(what, where, "exists, with a subnetwork in every region")
        known = ", ".join(sorted(set(found.subnetworks.values()))) or "none yet"
        return fail(
            what,
            where,
            f"is in custom mode: name a subnetwork with NB_SUBNETWORK ({known})",
            f"gcloud compute networks subnets list --project={owner} --network={name}",
        )
    if found.http_status == _NOT_FOUND:
        mend = f"gcloud compute networks create {name} --project={owner} --subnet-mode=auto"
        return fail(what, where, "there is none", mend)
    return refused(what, where, found, project)


def _subnetwork_facts(
    job: JobPlan, project: str, region: str, zones: Sequence[str], answers: Answers
) -> Iterator[Fact]:
    place = subnetwork_of(job.vm, project, region, answers)
    if place is None:
        owner, name = network_of(job.vm, project)
        network = answers.value(Network, ask.NETWORK, owner, name)
        if network is not None and network.auto:
            yield _fact(job, _no_subnetwork(owner, region, name, name), zones)
        return
    owner, where, name = place
    found = answers.of(Subnetwork, ask.SUBNETWORK, *place)
    if isinstance(found, Subnetwork):
        yield Fact(_subnetwork(place, found, external=job.vm.external_ip))
    elif found.http_status == _NOT_FOUND:
        yield _fact(job, _no_subnetwork(owner, where, name, job.vm.network or "NETWORK"), zones)
    else:
        yield Fact(refused("subnetwork", f"{where}/{name}", found, project))


def _no_subnetwork(owner: str, region: str, name: str, network: str) -> Row:
    mend = (
        f"gcloud compute networks subnets create {name} --project={owner} --network={network.rpartition('/')[2]} "
        f"--region={region} --range=10.10.0.0/20 --enable-private-ip-google-access"
    )
    return fail("subnetwork", f"{region}/{name}", "there is none in this region", mend)


def _subnetwork(place: tuple[str, str, str], found: Subnetwork, *, external: bool) -> Row:
    owner, region, name = place
    what, where = "subnetwork", f"{region}/{name}"
    if external:
        return ok(what, where, "exists; VMs get an external address")
    if found.private_google_access:
        return ok(what, where, "exists, with Private Google Access")
    mend = (
        f"gcloud compute networks subnets update {name} --project={owner} --region={region} "
        "--enable-private-ip-google-access"
    )
    return fail(
        what, where, "Private Google Access is off: a VM without an external address reaches no API", mend
    )
