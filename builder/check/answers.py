"""A question to Google as a value, and the answers by question: values of ports.py, or the CallFailed that came instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from builder.ports import CallFailed

T = TypeVar("T")

CALLER = "metadata.account"
PROJECT_PERMISSIONS = "cloudresourcemanager.projects.testIamPermissions"
BUCKET_PERMISSIONS = "storage.buckets.testIamPermissions"
BUCKET = "storage.buckets.get"
ACCOUNT = "iam.projects.serviceAccounts.get"
ACCOUNT_PERMISSIONS = "iam.projects.serviceAccounts.testIamPermissions"
FAMILY = "compute.images.getFromFamily"
IMAGE = "compute.images.get"
FAMILIES = "compute.images.list"
REGION = "compute.regions.get"
QUOTAS = "compute.projects.get"
MACHINE_TYPE = "compute.machineTypes.get"
ACCELERATOR_TYPE = "compute.acceleratorTypes.get"
NETWORK = "compute.networks.get"
SUBNETWORK = "compute.subnetworks.get"


@dataclass(frozen=True)
class Question:
    """One call: its method, and what it is asked about."""

    call: str
    about: tuple[str, ...] = ()

    @property
    def service(self) -> str:
        """The API that answers it, such as `compute`."""
        return self.call.partition(".")[0]


class Answers:
    """What came back."""

    def __init__(self, found: Mapping[Question, object]) -> None:
        self._found = dict(found)

    def of(self, kind: type[T], call: str, *about: str) -> T | CallFailed:
        """The answer to a question, of the kind that its call gives. Raises KeyError for one that was not asked."""
        answer = self._found[Question(call, about)]
        if not isinstance(answer, kind | CallFailed):
            raise TypeError(f"{call} answered with {answer!r}")
        return answer

    def value(self, kind: type[T], call: str, *about: str) -> T | None:
        """The answer where there is one: asked, and not failed."""
        answer = self._found.get(Question(call, about))
        return answer if isinstance(answer, kind) else None

    def asked(self, question: Question) -> bool:
        """Whether the question was asked already."""
        return question in self._found

    def of_service(self, service: str) -> Iterator[object]:
        """All answers of one API."""
        return (answer for question, answer in self._found.items() if question.service == service)

    def plus(self, more: Mapping[Question, object]) -> Answers:
        """These and further ones."""
        return Answers({**self._found, **more})
