"""`instances.insert`: permissions, rules, the operation's planned failure, and the new instance."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from localcloud.core.errors import ApiError, already_exists, invalid, unimplemented
from localcloud.core.iam import PROJECT
from localcloud.services.compute import catalog, rules
from localcloud.services.compute.refusals import missing
from localcloud.services.compute.rules_policies import check_policies
from localcloud.services.compute.state import Disk, State, Vm
from localcloud.services.compute.state_operations import Failure, Operation, Operations, new_id

if TYPE_CHECKING:
    from localcloud.core.caller import Caller
    from localcloud.core.clock import Clock
    from localcloud.core.faults import Fault
    from localcloud.core.iam import Iam
    from localcloud.core.service import Call
    from localcloud.services.compute.life import Life
    from localcloud.services.compute.quotas import Quotas
    from localcloud.services.compute.rules_policies import Policies
    from localcloud.services.compute.state_networks import Networks
    from localcloud.services.compute.wanted import Wanted, WantedDisk

Json = dict[str, Any]


def requester(caller: Caller) -> str:
    """Return an operation's `user`."""
    return caller.email or ""


def request_key(call: Call, *parts: str) -> tuple[str, ...]:
    """Return the key by which a repeated request is known, () without a requestId; ApiError 400 for a bad one."""
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


class Inserts:
    """The handler of inserts."""

    def __init__(
        self,
        state: State,
        operations: Operations,
        life: Life,
        *,
        networks: Networks,
        quotas: Quotas,
        clock: Clock,
        iam: Iam,
        policies: Policies,
    ) -> None:
        self._state = state
        self._operations = operations
        self._life = life
        self._networks = networks
        self._quotas = quotas
        self._clock = clock
        self._iam = iam
        self._policies = policies

    def handle(self, call: Call) -> Json:
        """Answer compute.instances.insert."""
        return self._operations.view(self._insert(call))

    def _insert(self, call: Call) -> Operation:
        project, zone = call.params["project"], call.params["zone"]
        call.require(
            "compute.instances.create",
            f"projects/{project}/zones/{zone}/instances/{call.body.get('name', '')}",
        )
        if project != PROJECT:
            raise missing(f"projects/{project}")
        for source in ("sourceInstanceTemplate", "sourceMachineImage"):
            if source in call.params:
                raise unimplemented(
                    f"localcloud's instances have no {source}; see localcloud/services/compute/README.md"
                )
        key = request_key(call, project, zone)
        if (earlier := self._operations.replayed(key)) is not None:
            return earlier
        wanted = rules.read(project, zone, call.body, self._networks)
        check_policies(wanted, self._policies)
        _require_details(call, wanted)
        with self._state.changed:
            # Check again under the lock: another thread may have answered the same request.
            if (earlier := self._operations.replayed(key)) is not None:
                return earlier
            return self._create(call, wanted, self._failure(call, wanted), key)

    def _failure(self, call: Call, wanted: Wanted) -> Failure | None:
        """Raise a conflict that is refused at once; return the failure that the operation will have, if any."""
        if (wanted.zone, wanted.name) in self._state.vms:
            raise already_exists(f"The resource '{wanted.path}' already exists")
        for disk in wanted.disks:
            found = self._state.disks.get((wanted.zone, disk.name))
            if found is not None:
                raise already_exists(f"The resource '{found.path}' already exists")
        if call.fault is not None and call.fault.action == "operation_error":
            return planned_failure(call.fault)
        unusable = self._account_failure(call, wanted)
        return unusable or self._quotas.excess(wanted, self._state.vms.values(), self._state.disks.values())

    def _account_failure(self, call: Call, wanted: Wanted) -> Failure | None:
        """Return the failure by the service account: it is missing, or the caller may not act as it."""
        if wanted.account is None:
            return None
        if self._iam.accounts.find(wanted.account) is None:
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
            doomed=failure is not None,
            gpu_metric=self._quotas.gpu_metric(wanted, self._state.vms.values()),
        )
        self._state.vms[vm.key] = vm
        for disk in wanted.disks:
            self._attach(wanted, disk, now)
        target = (wanted.project, f"zones/{wanted.zone}", wanted.path, vm.id)
        operation = self._operations.open("insert", target, requester(call.caller), request=key)
        lingers = call.fault is not None and bool(call.fault.args.get("visible_instance"))
        self._life.create(vm, operation, failure, lingers=lingers)
        return operation

    def _attach(self, wanted: Wanted, disk: WantedDisk, now: float) -> None:
        self._state.disks[wanted.zone, disk.name] = Disk(
            project=wanted.project,
            zone=wanted.zone,
            name=disk.name,
            id=new_id(),
            size_gb=disk.size_gb,
            type=disk.type,
            created=now,
            labels=disk.labels,
            image=disk.image.path if disk.image is not None else None,
            user=wanted.path,
        )


def planned_failure(fault: Fault) -> Failure:
    """Return the failure of a fault plan, with HTTP status and message if it gives them."""
    args = fault.args
    message = str(args.get("message", f"{args['code']} (planned fault)"))
    return Failure(str(args["code"]), message, args.get("http_status"), args.get("http_message"))


def _require_details(call: Call, wanted: Wanted) -> None:
    """Check the permissions beyond instances.create that this body needs (docs/facts.md 1.7)."""
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
        call.require("compute.disks.create", path)
        if disk.labels:
            call.require("compute.disks.setLabels", path)
    call.require("compute.subnetworks.use", subnetwork)
    if interface.external_ip:
        call.require("compute.subnetworks.useExternalIp", subnetwork)
    for given, permission in (
        (wanted.metadata, "compute.instances.setMetadata"),
        (wanted.labels, "compute.instances.setLabels"),
        (wanted.account, "compute.instances.setServiceAccount"),
    ):
        if given:
            call.require(permission, wanted.path)
