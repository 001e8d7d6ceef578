"""What to ask Google about a plan: first what needs no other answer, then what follows from those. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from builder.check import answers as ask
from builder.check.answers import Answers, Question
from builder.check.permissions import ACT_AS, OBJECTS, project_permissions
from builder.model import is_zone, region_of
from builder.plan.make import ImageChoice, JobPlan, Plan
from builder.plan.vm_spec import VmSpec
from builder.ports import CallFailed, Image, Network, Region

_NETWORK = re.compile(r"(?:.*projects/([^/]+)/)?global/networks/([^/]+)")
_SUBNETWORK = re.compile(r"(?:.*projects/([^/]+)/)?regions/([^/]+)/subnetworks/([^/]+)")


def first(plan: Plan, project: str) -> list[Question]:
    """What can be asked at once, each question once."""
    found = [
        Question(ask.CALLER),
        Question(ask.PROJECT_PERMISSIONS, project_permissions(plan)),
        Question(ask.BUCKET),
        Question(ask.BUCKET_PERMISSIONS, OBJECTS),
        Question(ask.QUOTAS),
    ]
    for job in plan.jobs:
        account = job.vm.service_account
        found += [Question(ask.ACCOUNT, (account,)), Question(ask.ACCOUNT_PERMISSIONS, (account, ACT_AS))]
        found.append(image_question(job.image))
        found += [Question(ask.REGION, (region,)) for region in regions_of(job)]
        if job.vm.subnetwork is None:
            found.append(Question(ask.NETWORK, network_of(job.vm, project)))
    return list(dict.fromkeys(found))


def further(plan: Plan, project: str, answers: Answers) -> list[Question]:
    """What the first answers make it possible to ask."""
    found: list[Question] = []
    for job in plan.jobs:
        found += [Question(ask.MACHINE_TYPE, (zone, job.vm.machine_type)) for zone in zones_of(job, answers)]
        if job.vm.accelerator is not None:
            accelerator = job.vm.accelerator.type
            found += [Question(ask.ACCELERATOR_TYPE, (zone, accelerator)) for zone in zones_of(job, answers)]
        found += _subnetwork_questions(job, project, answers)
        asked = image_question(job.image)
        image = answers.of(Image, asked.call, *asked.about)
        if isinstance(image, CallFailed) and image.http_status == 404:  # noqa: PLR2004 - HTTP's "not found"
            found.append(Question(ask.FAMILIES, (job.image.project,)))
    return [question for question in dict.fromkeys(found) if not answers.asked(question)]


def image_question(choice: ImageChoice) -> Question:
    """The question that resolves an image."""
    if choice.name is None:
        return Question(ask.FAMILY, (choice.project, choice.family or ""))
    return Question(ask.IMAGE, (choice.path,))


def regions_of(job: JobPlan) -> list[str]:
    """The regions of the job's zones, in order."""
    return list(dict.fromkeys(region_of(place) for place in job.zones))


def zones_of(job: JobPlan, answers: Answers) -> Sequence[str]:
    """The job's zones by name, as far as their regions told them."""
    return list(dict.fromkeys(_expanded(job, answers)))


def _expanded(job: JobPlan, answers: Answers) -> Iterator[str]:
    for place in job.zones:
        region = None if is_zone(place) else answers.value(Region, ask.REGION, place)
        if is_zone(place):
            yield place
        elif region is not None:
            yield from region.zones


def network_of(vm: VmSpec, project: str) -> tuple[str, str]:
    """Project and name of the network that the VM asks for."""
    given = vm.network or "default"
    match = _NETWORK.fullmatch(given)
    return (match[1] or project, match[2]) if match else (project, given)


def subnetwork_of(vm: VmSpec, project: str, region: str, answers: Answers) -> tuple[str, str, str] | None:
    """Project, region and name of the subnetwork that a VM in this region gets; None where that is not known."""
    if vm.subnetwork is not None:
        match = _SUBNETWORK.fullmatch(vm.subnetwork)
        return (match[1] or project, match[2], match[3]) if match else (project, region, vm.subnetwork)
    owner, name = network_of(vm, project)
    network = answers.value(Network, ask.NETWORK, owner, name)
    if network is None or not network.auto or region not in network.subnetworks:
        return None
    return owner, region, network.subnetworks[region]


def _subnetwork_questions(job: JobPlan, project: str, answers: Answers) -> Iterator[Question]:
    for region in regions_of(job):
        place = subnetwork_of(job.vm, project, region, answers)
        if place is not None:
            yield Question(ask.SUBNETWORK, place)
