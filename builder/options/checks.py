"""Rules between the options of one job, whose values are valid by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from builder.errors import Problem
from builder.model import Accelerator, region_of
from builder.options.google_names import region_in
from builder.options.job_options import MAX_LIFE_SECONDS, SERVER_ALLOWANCE, UPLOAD_ALLOWANCE
from builder.options.layers import Setting, show
from builder.options.machine_types import (
    ATTACHABLE_GPUS,
    BUILT_IN_GPUS,
    attaches_gpus,
    boot_disk_types,
    has_built_in_gpu,
    has_gpu,
)
from builder.options.packages import secret_names
from builder.options.parameters import faults, secrets_in

Settings = Mapping[str, Setting]
Check = Callable[[Settings], Iterator[Problem]]

SMALLEST_GPU_DISK = 40  # GB; the GPU images and their driver need it


def check_job(settings: Settings) -> list[Problem]:
    """Return the problems between the parsed settings of one job. Settings that could not be parsed are absent."""
    return [problem for check in _CHECKS for problem in check(settings)]


def warn_job(settings: Settings) -> list[str]:
    """Return warnings about settings of one job that are allowed, but probably not meant."""
    return [*_cell_beyond_notebook(settings), *_secrets_in_plain(settings)]


def _secrets_in_plain(settings: Settings) -> list[str]:
    env = settings.get("env")
    names = secret_names(env.value) if env and isinstance(env.value, dict) else []
    return [
        f"{env.variable}: {name} looks like a secret, and environment variables are stored in plain text. Use NB_SECRETS instead."
        for name in names
        if env
    ]


def _cell_beyond_notebook(settings: Settings) -> list[str]:
    cell, notebook = settings.get("cell_timeout"), settings.get("timeout")
    if not cell or not notebook or not isinstance(cell.value, int) or not isinstance(notebook.value, int):
        return []
    if cell.value <= notebook.value:
        return []
    return [f"{cell.variable} ({cell.value} s) is longer than the notebook may run ({notebook.value} s)."]


def _accelerator(settings: Settings) -> Iterator[Problem]:
    given = settings.get("accelerator")
    if given is None or not isinstance(given.value, Accelerator):
        return
    accelerator, shown = given.value, f"{given.value.type}:{given.value.count}"
    if accelerator.type in BUILT_IN_GPUS:
        machine = BUILT_IN_GPUS[accelerator.type]
        yield Problem(
            given.variable,
            shown,
            "this GPU is built in: leave NB_ACCELERATOR out and set NB_MACHINE_TYPE to a type that has it, "
            f"such as {machine}",
        )
    elif accelerator.type.removesuffix("-vws") not in ATTACHABLE_GPUS:
        yield Problem(given.variable, shown, "expected one of " + ", ".join(ATTACHABLE_GPUS))
    elif accelerator.count not in (counts := ATTACHABLE_GPUS[accelerator.type.removesuffix("-vws")]):
        yield Problem(
            given.variable, shown, f"expected a count of {', '.join(map(str, counts))} for this GPU"
        )
    else:
        yield from _attaches(settings, given, shown)


def _attaches(settings: Settings, given: Setting, shown: str) -> Iterator[Problem]:
    machine = settings.get("machine_type")
    if machine is None or attaches_gpus(str(machine.value)):
        return
    if has_built_in_gpu(str(machine.value)):
        yield Problem(
            given.variable, shown, f"{machine.value} has its GPUs built in: leave NB_ACCELERATOR out"
        )
    else:
        yield Problem(
            given.variable,
            shown,
            f"GPUs attach to n1 machines only, and {machine.variable} is {machine.value}: set it to one "
            "such as n1-standard-4",
        )


def _boot_disk(settings: Settings) -> Iterator[Problem]:
    disk, machine, gpu = (settings.get(name) for name in ("boot_disk_gb", "machine_type", "accelerator"))
    if disk is None or machine is None or not isinstance(disk.value, int):
        return
    attached = gpu.value if gpu and isinstance(gpu.value, Accelerator) else None
    if has_gpu(str(machine.value), attached) and disk.value < SMALLEST_GPU_DISK:
        yield Problem(
            disk.variable, str(disk.value), f"at least {SMALLEST_GPU_DISK} GB for a machine with a GPU"
        )


def _boot_disk_type(settings: Settings) -> Iterator[Problem]:
    disk, machine = settings.get("boot_disk_type"), settings.get("machine_type")
    if disk is None or machine is None or disk.value is None:
        return
    possible = boot_disk_types(str(machine.value))
    if disk.value not in possible:
        what = f"{machine.variable} is {machine.value}, which boots from {' or '.join(possible)}"
        yield Problem(disk.variable, str(disk.value), what)


def _image(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for an image and a family from the same layer; from two layers, the higher one wins."""
    image, family = settings.get("image"), settings.get("image_family")
    if image is None or family is None or image.value is None or family.value is None:
        return
    if image.rank == family.rank:
        yield Problem(image.variable, show(image.value), f"excludes {family.variable}: set one of the two")


def _lifetime(settings: Settings) -> Iterator[Problem]:
    timeout, boot = settings.get("timeout"), settings.get("boot_timeout")
    if not (timeout and boot and isinstance(timeout.value, int) and isinstance(boot.value, int)):
        return
    before = boot.value + sum(steps_seconds(settings))
    most = MAX_LIFE_SECONDS - UPLOAD_ALLOWANCE - SERVER_ALLOWANCE - before
    if timeout.value > most:
        yield Problem(
            timeout.variable,
            str(timeout.value),
            f"at most {most} seconds: with boot and upload, a VM may live for 120 days ({MAX_LIFE_SECONDS} s)",
        )


def _secrets(settings: Settings) -> Iterator[Problem]:
    allowed = settings.get("allow_secret_parameters")
    if allowed and allowed.value is True:
        return
    for given in (settings.get("parameters"), settings.get("schedule_parameters")):
        if given is None or not isinstance(given.value, Mapping):
            continue
        for name in secrets_in(given.value):
            yield Problem(
                given.variable,
                name,
                "looks like a secret, and parameters can be read in the bucket, the notebook and the log: "
                "use NB_SECRETS; if it is not secret, set NB_ALLOW_SECRET_PARAMETERS=true",
            )


def _merged_parameters(settings: Settings) -> Iterator[Problem]:
    """Yield the problems of merged parameters, such as a repeated name; each source is valid by itself."""
    given = settings.get("parameters")
    if given is not None and isinstance(given.value, Mapping):
        yield from (Problem(given.variable, name, expected) for name, expected in faults(given.value))


def steps_seconds(settings: Settings) -> tuple[int, int]:
    """Return the time limits of set-up and requirements in seconds; 0 without such a step."""

    def of(name: str) -> int:
        step, limit = settings.get(name), settings.get(f"{name}_timeout")
        used = step is not None and step.value is not None
        return limit.value if used and limit is not None and isinstance(limit.value, int) else 0

    return of("setup"), of("requirements")


def _subnetwork(settings: Settings) -> Iterator[Problem]:
    subnetwork, zones = settings.get("subnetwork"), settings.get("zones")
    if subnetwork is None or zones is None or not isinstance(zones.value, tuple):
        return
    region = region_in(str(subnetwork.value))
    strays = [zone for zone in zones.value if region and region_of(zone) != region]
    if strays:
        yield Problem(
            zones.variable,
            show(", ".join(strays)),
            f"{subnetwork.variable} is in {region}: name only zones there",
        )


def _variables(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for each variable that is both plain and secret."""
    plain, secret = settings.get("env"), settings.get("secrets")
    if plain and secret and isinstance(plain.value, dict) and isinstance(secret.value, dict):
        for name in plain.value.keys() & secret.value.keys():
            yield Problem(
                secret.variable, name, f"is given in {plain.variable}, too: leave it out of one of them"
            )


_CHECKS: tuple[Check, ...] = (
    _variables,
    _accelerator,
    _boot_disk,
    _boot_disk_type,
    _image,
    _lifetime,
    _merged_parameters,
    _secrets,
    _subnetwork,
)
