"""Installs the notebook's requirements by uv, into an overlay behind the image's packages, which do not change.

Packages of the distribution are an exception: the overlay comes before them and is resolved without them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from builder.vm.protocol import RequirementLine, RequirementsStep

from . import image_packages, steps
from .certificates import SYSTEM_BUNDLES, own
from .fault import Fault, Stop
from .image_packages import Package
from .log import Log

# Artifact Registry's Python repositories (LOCATION-python.pkg.dev), the only index that accepts the VM's own account.
ARTIFACT_REGISTRY = "-python.pkg.dev"
REGISTRY_USER = "oauth2accesstoken"
HTTP_SECONDS = 30
HTTP_RETRIES = 3
SHOWN_LINES = 3

REFUSED = re.compile(r"40[13] (?:Unauthorized|Forbidden)")
OTHERS_FAULT = re.compile(
    r"HTTP status server error|408 Request Timeout|429 Too Many Requests|error sending request|Request failed after|"
    r"dns error|tcp connect error|timed out|Connection (?:refused|reset|closed)|Network is unreachable|"
    r"Could not resolve host|error decoding response body",
    re.IGNORECASE,
)
UNTRUSTED = re.compile(
    r"invalid peer certificate|UnknownIssuer|certificate verify failed|self[- ]signed certificate|\bunknown ca\b",
    re.IGNORECASE,
)
NOT_THERE = re.compile(r"HTTP status client error \(4(?!08|29)")
DISK_FULL = "No space left on device"
UNSOLVABLE = "No solution found"
NOWHERE = "was not found in the"
_AS_PROVEN = "the packages that this notebook was proven with"
_ANEW = "run the notebook again and deploy it, so that scheduled runs install the current versions"


def install(
    wanted: RequirementsStep,
    image: tuple[Package, ...],
    *,
    uv: Path,
    home: Path,
    tree: Path,
    token: Callable[[], str],
    certificates: Mapping[str, str],
    log: Log,
    stopping: Callable[[], Stop],
) -> tuple[Package, ...]:
    """Install the packages of `wanted` that the image lacks into `home`/overlay. Returns them.

    `uv` is the program. `token` returns an access token of the VM's account. `certificates` has the variables of the
    certificates to trust. Raises `Fault`.
    """
    overlay, constraints = home / "overlay", home / "image.txt"
    overlay.mkdir()
    pinned = tuple(package for package in image if package.stays)
    stand_ins = image_packages.write_stand_ins(pinned, overlay)
    constraints.write_text("".join(f"{package}\n" for package in pinned), encoding="utf-8")
    options, secret = index_options(wanted.index_url, token)
    command = [str(uv), "pip", "install", "--quiet", "--no-config", "--no-cache"]
    command += ["--no-progress", "--color", "never", "--no-python-downloads", "--python", sys.executable]
    command += ["--target", str(overlay), "--constraint", str(constraints), *_proven(wanted, home), *options]
    command += ["--require-hashes"] if wanted.require_hashes else []
    file = tree / wanted.path
    log.line(f"requirements: {wanted.path}, beside {len(pinned)} packages of the image")
    finished = steps.run(
        [*command, "--requirement", file.name],
        name="the requirements' installation",
        cwd=file.parent,
        environment={**_environment(certificates), **secret},
        limit=wanted.timeout,
        log=log,
        stopping=stopping,
    )
    if finished is None:
        limit = f"installing {wanted.path} reached its limit of {wanted.timeout:g} s"
        raise Fault("requirements_timeout", limit)
    if finished.code:
        raise explain("\n".join(finished.lines), wanted, pinned)
    for folder in stand_ins:
        shutil.rmtree(folder)
    added = image_packages.read_folder(overlay)
    _check_proven(tuple(map(str, added)), wanted)
    return added


def _proven(wanted: RequirementsStep, home: Path) -> list[str]:
    """Return uv's options for the proven versions.

    Empty if every line has its hash: the file itself then fixes the versions.
    """
    if not wanted.frozen or wanted.require_hashes:
        return []
    constraints = home / "proven.txt"
    constraints.write_text("".join(f"{package}\n" for package in wanted.frozen), encoding="utf-8")
    return ["--constraint", str(constraints)]


def _check_proven(added: tuple[str, ...], wanted: RequirementsStep) -> None:
    """Raise `Fault` if the installed packages differ from the proven ones: a release can have new dependencies."""
    if wanted.frozen is None or set(added) == set(wanted.frozen):
        return
    more = ", ".join(sorted(set(added) - set(wanted.frozen)))
    fewer = ", ".join(sorted(set(wanted.frozen) - set(added)))
    found = " and ".join(
        [f"{more} is new"] * bool(more) + [f"{fewer} is missing"] * bool(fewer),
    )
    raise Fault("requirements_unresolvable", f"{wanted.path} does not give {_AS_PROVEN}: {found}; {_ANEW}")


def index_options(url: str | None, token: Callable[[], str]) -> tuple[list[str], dict[str, str]]:
    """Return uv's options for its only index, and the variables with its credentials, which no command line shows."""
    if url is None:
        return [], {}
    if not (urlsplit(url).hostname or "").endswith(ARTIFACT_REGISTRY):
        return ["--default-index", url], {}
    secret = {"UV_INDEX_NB_USERNAME": REGISTRY_USER, "UV_INDEX_NB_PASSWORD": token()}
    return ["--default-index", f"nb={url}"], secret


def _environment(certificates: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with the certificates and without the image's uv and pip settings."""
    foreign = ("UV_", "PIP_", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    if not certificates and own(kept) in SYSTEM_BUNDLES:
        # By default, uv trusts Mozilla's certificates only, without those that the image's administrator added.
        kept["UV_SYSTEM_CERTS"] = "true"
    return {
        **kept,
        **certificates,
        "UV_HTTP_TIMEOUT": str(HTTP_SECONDS),
        "UV_HTTP_RETRIES": str(HTTP_RETRIES),
    }


def explain(output: str, wanted: RequirementsStep, image: tuple[Package, ...]) -> Fault:
    """Return the fault for uv's error message: the notebook's, the index's, or the network's."""
    index = wanted.index_url or "the package index"
    last = _causes(output)[-1]
    if DISK_FULL in output:
        return Fault("disk_full", f"the VM's disk is full while the requirements are installed: {last}")
    if REFUSED.search(output):
        refusal = next(line.strip() for line in output.splitlines() if REFUSED.search(line))
        return Fault("index_refused", f"{index} refuses the VM: {refusal}")
    if UNTRUSTED.search(output):
        return Fault("index_untrusted", f"the VM does not trust the certificate of {index}: {last}")
    if UNSOLVABLE not in output and not NOT_THERE.search(output) and OTHERS_FAULT.search(output):
        return Fault("index_unreachable", f"{index} cannot be reached: {last}")
    return Fault("requirements_unresolvable", _unresolvable(output, wanted, image))


def _unresolvable(output: str, wanted: RequirementsStep, image: tuple[Package, ...]) -> str:
    """Return a message with the failing line and the package of the image that it conflicts with."""
    blamed = [line for line in wanted.lines if _is_named(line, output)]
    where = ", ".join(map(str, blamed[:SHOWN_LINES])) or wanted.path
    # If a package does not exist, it conflicts with none of the image's.
    kept_back = [] if NOWHERE in output else image
    against = [package for package in kept_back if _is_mentioned(str(package), output)]
    why = _causes(output)[0].removeprefix("Because ")
    gone = [package for package in wanted.frozen or () if _is_mentioned(package, output)]
    if gone:
        named = ", ".join(gone[:SHOWN_LINES])
        return f"{where} does not give {_AS_PROVEN}, {named} among them: {why.rstrip('. ')}; {_ANEW}"
    if not against:
        return f"{where} cannot be installed: {why}"
    kept = ", ".join(f"{package.name} {package.version}" for package in against[:SHOWN_LINES])
    return f"{where} cannot be installed beside the image's own {kept}, which stays: {why}"


def _is_mentioned(package: str, output: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(package)}(?![\w.+-])", output) is not None


def _is_named(line: RequirementLine, output: str) -> bool:
    word = re.escape(line.name) if line.name else re.escape(line.text.rpartition("/")[2])
    return re.search(rf"(?<![\w.-]){word}(?![\w-])", output) is not None


def _causes(output: str) -> list[str]:
    """Return uv's causes, or else its error, each in one line; never empty."""
    joined = re.sub(r"\n\s{6,}", " ", output)
    causes = [line.strip()[7:] for line in joined.splitlines() if line.strip().startswith("cause: ")]
    errors = [line.strip()[7:] for line in joined.splitlines() if line.strip().startswith("error: ")]
    return causes or errors or [joined.strip().rpartition("\n")[2] or "uv gave no reason"]
