"""The notebook's requirements: installed by uv into an overlay behind the image's packages, which stay as they are."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from . import image_packages, steps
from .image_packages import Package
from .log import Log
from .notebook import Stop
from .settings import Fault, Line, Requirements

# Artifact Registry's Python repositories (LOCATION-python.pkg.dev): the one index that takes the VM's own account.
ARTIFACT_REGISTRY = "-python.pkg.dev"
REGISTRY_USER = "oauth2accesstoken"
HTTP_SECONDS = 30
HTTP_RETRIES = 3
SHOWN_LINES = 3

REFUSED = re.compile(r"40[13] (?:Unauthorized|Forbidden)")
OTHERS_FAULT = re.compile(
    r"HTTP status server error|408 Request Timeout|429 Too Many Requests|error sending request|Request failed after|"
    r"dns error|tcp connect error|timed out|Connection (?:refused|reset|closed)|Network is unreachable|"
    r"Could not resolve host|error decoding response body|invalid peer certificate",
    re.IGNORECASE,
)
NOT_THERE = re.compile(r"HTTP status client error \(4(?!08|29)")
DISK_FULL = "No space left on device"
UNSOLVABLE = "No solution found"
NOWHERE = "was not found in the"
_AS_PROVEN = "the packages that this notebook was proven with"
_ANEW = "run the notebook anew and deploy it, and scheduled runs install what is there now"


def install(
    wanted: Requirements,
    image: tuple[Package, ...],
    *,
    uv: Path,
    home: Path,
    tree: Path,
    token: Callable[[], str],
    log: Log,
    stopping: Callable[[], Stop],
) -> tuple[str, ...]:
    """Install what `wanted` asks for and the image lacks into `home`/overlay; return that as name==version.

    `uv` is the program; `token` gives an access token of the VM's account. Raises `Fault`, which says whose fault it is.
    """
    overlay, constraints = home / "overlay", home / "image.txt"
    overlay.mkdir()
    pinned = tuple(package for package in image if package.can_be_pinned)
    stand_ins = image_packages.write_stand_ins(pinned, overlay)
    constraints.write_text("".join(f"{package}\n" for package in pinned), encoding="utf-8")
    options, secret = index_options(wanted.index_url, token)
    command = [str(uv), "pip", "install", "--quiet", "--no-config", "--no-cache"]
    command += ["--no-progress", "--color", "never", "--no-python-downloads", "--python", sys.executable]
    command += ["--target", str(overlay), "--constraint", str(constraints), *_proven(wanted, home), *options]
    command += ["--require-hashes"] if wanted.require_hashes else []
    file = tree / wanted.path
    log.note(f"requirements: {wanted.path}, beside {len(image)} packages of the image")
    finished = steps.run(
        [*command, "--requirement", file.name],
        name="the requirements' installation",
        cwd=file.parent,
        environment={**_environment(), **secret},
        limit=wanted.timeout,
        log=log,
        stopping=stopping,
    )
    if finished is None:
        limit = f"installing {wanted.path} reached its limit of {wanted.timeout:g} s"
        raise Fault("requirements_timeout", limit)
    if finished.code:
        raise explain("\n".join(finished.lines), wanted, image)
    for folder in stand_ins:
        shutil.rmtree(folder)
    added = installed(overlay)
    _check_proven(added, wanted)
    return added


def _proven(wanted: Requirements, home: Path) -> list[str]:
    """What holds uv to the versions that were proven. Not where every line has its hash: there the file itself does."""
    if not wanted.frozen or wanted.require_hashes:
        return []
    constraints = home / "proven.txt"
    constraints.write_text("".join(f"{package}\n" for package in wanted.frozen), encoding="utf-8")
    return ["--constraint", str(constraints)]


def _check_proven(added: tuple[str, ...], wanted: Requirements) -> None:
    """Raise `Fault` where other packages were installed than were proven: a release may have got new needs since."""
    if wanted.frozen is None or set(added) == set(wanted.frozen):
        return
    more = ", ".join(sorted(set(added) - set(wanted.frozen)))
    fewer = ", ".join(sorted(set(wanted.frozen) - set(added)))
    found = " and ".join(
        [f"{more} came beside them"] * bool(more) + [f"{fewer} did not come"] * bool(fewer),
    )
    raise Fault("requirements_unresolvable", f"{wanted.path} does not give {_AS_PROVEN}: {found}; {_ANEW}")


def index_options(url: str | None, token: Callable[[], str]) -> tuple[list[str], dict[str, str]]:
    """What tells uv its only index: arguments, and the variables that hold the credentials, which no command line shows."""
    if url is None:
        return [], {}
    if not (urlsplit(url).hostname or "").endswith(ARTIFACT_REGISTRY):
        return ["--default-index", url], {}
    secret = {"UV_INDEX_NB_USERNAME": REGISTRY_USER, "UV_INDEX_NB_PASSWORD": token()}
    return ["--default-index", f"nb={url}"], secret


def _environment() -> dict[str, str]:
    """Ours, without what an image may say to uv and pip, so that the same file means the same everywhere."""
    foreign = ("UV_", "PIP_", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "UV_HTTP_TIMEOUT": str(HTTP_SECONDS), "UV_HTTP_RETRIES": str(HTTP_RETRIES)}


def installed(overlay: Path) -> tuple[str, ...]:
    """What lies in the overlay, each as name==version."""
    found = {
        f"{re.sub(r'[-_.]+', '-', one.name).lower()}=={one.version}"
        for one in metadata.distributions(path=[str(overlay)])
    }
    return tuple(sorted(found))


def explain(said: str, wanted: Requirements, image: tuple[Package, ...]) -> Fault:
    """Turn what uv says of its failure into a fault: the notebook's, the index's, or the network's."""
    index = wanted.index_url or "the package index"
    last = _causes(said)[-1]
    if DISK_FULL in said:
        return Fault("disk_full", f"the VM's disk is full while the requirements are installed: {last}")
    if REFUSED.search(said):
        refusal = next(line.strip() for line in said.splitlines() if REFUSED.search(line))
        return Fault("index_refused", f"{index} refuses the VM: {refusal}")
    if UNSOLVABLE not in said and not NOT_THERE.search(said) and OTHERS_FAULT.search(said):
        return Fault("index_unreachable", f"{index} cannot be reached: {last}")
    return Fault("requirements_unresolvable", _unresolvable(said, wanted, image))


def _unresolvable(said: str, wanted: Requirements, image: tuple[Package, ...]) -> str:
    """Say which line is to blame, and which package of the image stands against it."""
    blamed = [line for line in wanted.lines if _is_named(line, said)]
    where = ", ".join(map(str, blamed[:SHOWN_LINES])) or wanted.path
    # Where something is nowhere to be found, no package of the image stands in the way.
    kept_back = [] if NOWHERE in said else image
    against = [package for package in kept_back if _is_said(str(package), said)]
    why = _causes(said)[0].removeprefix("Because ")
    gone = [package for package in wanted.frozen or () if _is_said(package, said)]
    if gone:
        named = ", ".join(gone[:SHOWN_LINES])
        return f"{where} does not give {_AS_PROVEN}, {named} among them: {why.rstrip('. ')}; {_ANEW}"
    if not against:
        return f"{where} cannot be installed: {why}"
    kept = ", ".join(f"{package.name} {package.version}" for package in against[:SHOWN_LINES])
    return f"{where} cannot be installed beside the image's own {kept}, which stays: {why}"


def _is_said(package: str, said: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(package)}(?![\w.+-])", said) is not None


def _is_named(line: Line, said: str) -> bool:
    word = re.escape(line.name) if line.name else re.escape(line.text.rpartition("/")[2])
    return re.search(rf"(?<![\w.-]){word}(?![\w-])", said) is not None


def _causes(said: str) -> list[str]:
    """What uv gives as causes, or else its error, each in one line; never empty."""
    joined = re.sub(r"\n\s{6,}", " ", said)
    causes = [line.strip()[7:] for line in joined.splitlines() if line.strip().startswith("cause: ")]
    errors = [line.strip()[7:] for line in joined.splitlines() if line.strip().startswith("error: ")]
    return causes or errors or [joined.strip().rpartition("\n")[2] or "uv gave no reason"]
