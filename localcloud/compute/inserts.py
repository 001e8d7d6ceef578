"""`instances.insert`: permissions, the rules, what the operation will fail of, and the new instance."""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.compute import catalog, rules
from localcloud.compute.operations import Failure, Operation, Operations, new_id
from localcloud.compute.refusals import in_use, missing
from localcloud.compute.state import Disk, State, Vm
from localcloud.errors import ApiError, already_exists, invalid, unimplemented
from localcloud.iam import PROJECT

if TYPE_CHECKING:
    from localcloud.clock import Clock
    from localcloud.compute.life import Life
    from localcloud.compute.quotas import Quotas
    from localcloud.compute.wanted import Wanted, WantedDisk
    from localcloud.faults import Fault
    from localcloud.iam import Iam
    from localcloud.service import Call, Caller

Json = dict[str, Any]


def requester(caller: Caller) -> str:
    """Return who an operation's `user` is."""
    return caller.email or f"owner@{PROJECT}.example.com"


def request_key(call: Call, *parts: str) -> tuple[str, ...]:
    """Return what makes a repeated request the same one, () when it has no requestId; ApiError 400 for a bad one."""
    text = call.params.get("requestId")
    if text is None:
        return ()
    try:
        number = uuid.UUID(text).int
    except ValueError:
        number = 0
    if number == 0:
        raise invalid(
            f"Invalid value for field 'requestId': '{text}'. Must be a valid UUID, and not the zero UUID."
        )
    return (call.method, requester(call.caller), *parts, text)


@dataclass
class Attempt:
    """One insert as it arrived, kept for tests. `error`: what refused it at once; `failure`: what its operation did."""

    project: str
    zone: str
    body: Json
    caller: str | None
    request_id: str | None
    replayed: bool = False
    error: ApiError | None = None
    failure: Failure | None = None

    @property
    def accepted(self) -> bool:
        """Whether it was answered with an operation."""
        return self.error is None


class Inserts:
    """Handles inserts, and remembers each."""

    def __init__(
        self, state: State, operations: Operations, life: Life, *, quotas: Quotas, clock: Clock, iam: Iam
    ) -> None:
        self._state = state
        self._operations = operations
        self._life = life
        self._quotas = quotas
        self._clock = clock
        self._iam = iam
        self.attempts: list[Attempt] = []

    def handle(self, call: Call) -> Json:
        """Answer compute.instances.insert."""
        project, zone, request_id = call.params["project"], call.params["zone"], call.params.get("requestId")
        attempt = Attempt(project, zone, copy.deepcopy(call.body), call.caller.email, request_id)
        self.attempts.append(attempt)
        try:
            return self._operations.view(self._insert(call, attempt))
        except ApiError as error:
            attempt.error = error
            raise

    def _insert(self, call: Call, attempt: Attempt) -> Operation:
        project, zone = attempt.project, attempt.zone
        call.require(
            "compute.instances.create",
            f"projects/{project}/zones/{zone}/instances/{call.body.get('name', '')}",
        )
        if project != PROJECT:
            raise missing(f"projects/{project}")
        for source in ("sourceInstanceTemplate", "sourceMachineImage"):
            if source in call.params:
                raise unimplemented(f"localcloud's instances have no {source}; see localcloud/README.md")
        key = request_key(call, project, zone)
        if (earlier := self._operations.replayed(key)) is not None:
            attempt.replayed = True
            return earlier
        wanted = rules.read(project, zone, call.body, self._clock.now())
        _require_details(call, wanted)
        with self._state.changed:
            # Once more, now that nobody else can answer the same request meanwhile.
            if (earlier := self._operations.replayed(key)) is not None:
                attempt.replayed = True
                return earlier
            attempt.failure = self._failure(call, wanted)
            return self._create(call, wanted, attempt.failure, key)

    def _failure(self, call: Call, wanted: Wanted) -> Failure | None:
        """Raise what is refused at once for want of room; return what the operation will fail of."""
        if (wanted.zone, wanted.name) in self._state.vms:
            raise already_exists(f"The resource '{wanted.path}' already exists")
        for disk in wanted.disks:
            self._check_disk(wanted, disk)
        if call.fault is not None and call.fault.action == "operation_error":
            return planned_failure(call.fault)
        unusable = self._account_failure(call, wanted)
        return unusable or self._quotas.excess(wanted, self._state.vms.values(), self._state.disks.values())

    def _check_disk(self, wanted: Wanted, disk: WantedDisk) -> None:
        """A disk that is there already is attached, not made anew (docs/facts.md 1.2); unless it is another's."""
        path = f"projects/{wanted.project}/zones/{wanted.zone}/disks/{disk.name}"
        found = self._state.disks.get((wanted.zone, disk.name))
        if found is None and disk.source is not None:
            raise missing(path)
        if found is not None and found.user is not None:
            raise in_use(path, found.user)

    def _account_failure(self, call: Call, wanted: Wanted) -> Failure | None:
        """Both of these come in the operation, after a call that has succeeded."""
        if wanted.account is None:
            return None
        if wanted.account not in self._iam.accounts():
            text = f"The resource '{wanted.account}' of type 'serviceAccount' was not found."
            return Failure("EXTERNAL_RESOURCE_NOT_FOUND", text, 404, "NOT FOUND")
        try:
            call.require(
                "iam.serviceAccounts.actAs", f"projects/{wanted.project}/serviceAccounts/{wanted.account}"
            )
        except ApiError as error:
            return Failure("SERVICE_ACCOUNT_ACCESS_DENIED", error.message, 400, "BAD REQUEST")
        return None

    def _create(self, call: Call, wanted: Wanted, failure: Failure | None, key: tuple[str, ...]) -> Operation:
        now = self._clock.now()
        vm = Vm(
            wanted=wanted,
            id=new_id(),
            created=now,
            address=self._state.new_address(),
            labels=wanted.labels,
            metadata=wanted.metadata,
            tags=wanted.tags,
            doomed=failure is not None,
        )
        self._state.vms[vm.key] = vm
        for disk in wanted.disks:
            self._attach(wanted, disk, now)
        target = (wanted.project, wanted.zone, wanted.path, vm.id)
        operation = self._operations.open("insert", target, requester(call.caller), request=key)
        operation.warnings = _warnings(wanted)
        lingers = call.fault is not None and bool(call.fault.args.get("visible_instance"))
        self._life.create(vm, operation, failure, lingers=lingers)
        return operation

    def _attach(self, wanted: Wanted, disk: WantedDisk, now: float) -> None:
        found = self._state.disks.get((wanted.zone, disk.name))
        if found is None:
            found = Disk(
                project=wanted.project,
                zone=wanted.zone,
                name=disk.name,
                id=new_id(),
                size_gb=disk.size_gb,
                type=disk.type,
                created=now,
                labels=disk.labels,
                image=disk.image.path if disk.image is not None else None,
            )
            self._state.disks[wanted.zone, disk.name] = found
        found.user = wanted.path


def planned_failure(fault: Fault) -> Failure:
    """Return the failure that a fault plan asks for; HTTP status and message only where it gives them."""
    args = fault.args
    message = str(args.get("message", f"{args['code']} (planned fault)"))
    return Failure(str(args["code"]), message, args.get("http_status"), args.get("http_message"))


def _require_details(call: Call, wanted: Wanted) -> None:
    """Check the permissions beyond instances.create that this very body needs (docs/facts.md 1.7)."""
    zone = f"projects/{wanted.project}/zones/{wanted.zone}"
    region = catalog.region_of(wanted.zone)
    interface = wanted.interface
    subnetwork = (
        f"projects/{interface.subnetwork_project}/regions/{region}/subnetworks/{interface.subnetwork}"
    )
    for disk in wanted.disks:
        path = f"{zone}/disks/{disk.name}"
        if disk.image is not None:
            call.require("compute.images.useReadOnly", disk.image.path)
        call.require("compute.disks.use" if disk.source else "compute.disks.create", path)
        if disk.labels:
            call.require("compute.disks.setLabels", path)
    call.require("compute.subnetworks.use", subnetwork)
    if interface.external_ip:
        call.require("compute.subnetworks.useExternalIp", subnetwork)
    for given, permission in (
        (wanted.metadata, "compute.instances.setMetadata"),
        (wanted.labels, "compute.instances.setLabels"),
        (wanted.tags, "compute.instances.setTags"),
        (wanted.account, "compute.instances.setServiceAccount"),
    ):
        if given:
            call.require(permission, wanted.path)


def _warnings(wanted: Wanted) -> list[Json]:
    found: list[Json] = []
    for disk in wanted.disks:
        image = disk.image
        if image is None:
            continue
        if image.state == "DEPRECATED":
            text = f"The resource '{image.path}' is deprecated."
            data = {"key": "resource_name", "value": image.path}
            found.append({"code": "DEPRECATED_RESOURCE_USED", "message": text, "data": [data]})
        if disk.size_gb > image.size_gb:
            text = f"Disk size: '{disk.size_gb} GB' is larger than image size: '{image.size_gb} GB'."
            found.append({"code": "DISK_SIZE_LARGER_THAN_IMAGE_SIZE", "message": text, "data": []})
    return found
