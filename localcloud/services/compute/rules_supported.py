"""The fields of an insert body that have an effect here. Pure.

Any other field that a request sets is a 501: Google would act on it or refuse it, and localcloud can do neither. An
unset field (false, empty, 0) passes, and so does an explicit default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from localcloud.core.errors import unimplemented

# The accepted value of each field: None is any value, a mapping has fields (of each item of a list), a text is the one
# value, which is Google's default.
Fields = Mapping[str, "Fields | str | None"]

_DISK: Fields = {
    "kind": None,
    "boot": None,
    "autoDelete": None,
    "type": None,
    "mode": None,
    "deviceName": None,
    "diskSizeGb": None,
    "interface": "SCSI",
    "initializeParams": {
        "sourceImage": None,
        "diskName": None,
        "diskSizeGb": None,
        "diskType": None,
        "labels": None,
        "description": None,
    },
}
_INTERFACE: Fields = {
    "kind": None,
    "network": None,
    "subnetwork": None,
    "name": "nic0",
    "stackType": "IPV4_ONLY",
    "accessConfigs": {"kind": None, "name": None, "type": None, "networkTier": "PREMIUM"},
}
_SCHEDULING: Fields = {
    "provisioningModel": None,
    "automaticRestart": None,
    "onHostMaintenance": None,
    "instanceTerminationAction": None,
    "maxRunDuration": {"seconds": None},
}
_INSTANCE: Fields = {
    "kind": None,
    "name": None,
    "description": None,
    "machineType": None,
    "labels": None,
    "metadata": None,
    "disks": _DISK,
    "networkInterfaces": _INTERFACE,
    "scheduling": _SCHEDULING,
    "serviceAccounts": None,
    "guestAccelerators": None,
    "shieldedInstanceConfig": None,
    "reservationAffinity": {"consumeReservationType": "ANY_RESERVATION"},
}


def check_supported(body: Mapping[str, object]) -> None:
    """Raise ApiError 501 that names every field of an insert body without an effect here."""
    unknown = sorted(set(_unsupported(_INSTANCE, body, "resource")))
    if unknown:
        raise unimplemented(
            f"localcloud's instances have no {', '.join(unknown)} (or not with this value); see localcloud/services/compute/README.md"
        )


def _unsupported(known: Fields | str | None, value: object, at: str) -> Iterator[str]:
    if known is None or _unset(value) or value == known:
        return
    if isinstance(known, Mapping) and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unsupported(known, item, f"{at}[{number}]")
    elif isinstance(known, Mapping) and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _unsupported(known.get(key, ""), item, f"{at}.{key}")
    else:
        yield at


def _unset(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_unset(item) for item in value.values())
    if isinstance(value, list):
        return all(_unset(item) for item in value)
    return value in {None, False, "", "0"}
