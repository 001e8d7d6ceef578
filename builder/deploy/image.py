"""The builder's image by its digest. A tag is resolved once, so that a schedule runs the image that was deployed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from builder.deploy_ports import Registry
from builder.errors import BadInput, InputRefused, Problem
from builder.options.day import moment

_OPTION = "NB_BUILDER_IMAGE"
_LATEST = "latest"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HOST = re.compile(r"(?P<location>[a-z][a-z0-9-]*)-docker\.pkg\.dev")
# Old hosts of Container Registry, which Artifact Registry serves now, and the location of the repository named like
# the host.
_OLD_HOSTS = {"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}
_DOMAIN_DOT = re.compile(r"[a-z0-9-]+\.[a-z0-9.-]+")  # of a domain-scoped project, example.com/project
_EXPECTED = "expected LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE with a :TAG or an @sha256: digest"


@dataclass(frozen=True)
class ImageReference:
    """An image in Artifact Registry: its name, tag and digest ("" if not given), and the path of its package."""

    name: str
    tag: str
    digest: str
    package: str  # projects/P/locations/L/repositories/R/packages/NAME; "" for another registry


def parse(text: str) -> ImageReference | None:
    """The parts of a reference; None if the text is no reference. A reference to another registry has no package."""
    named, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        return None
    name, colon, tag = named, "", ""
    if ":" in named.rpartition("/")[2]:
        name, colon, tag = named.rpartition(":")
    host, *path = name.split("/")
    if not all(_NAME.fullmatch(part) for part in path or [host]) or (colon and not _TAG.fullmatch(tag)):
        return None
    return ImageReference(name, tag, digest, _package(host, path))


def by_digest(text: str, registry: Registry, began: str | None = None) -> str:
    """The image as NAME@sha256:…, which exists. No tag means `latest`. A digest in another registry is not checked.

    `began`: when the build was created (RFC 3339). A tag that got another image since then may mean another one than
    what proved the notebooks. Raises BadInput for what cannot be resolved, InputRefused for what is not there or may
    be another, and CallFailed.
    """
    found = parse(text)
    if found is not None and found.digest and not found.package:
        return f"{found.name}@{found.digest}"
    if found is None or not found.package:
        raise BadInput([Problem(_OPTION, text, _EXPECTED)])
    digest = found.digest or _digest_of(found, registry)
    pushed = registry.pushed(found.package, digest)
    if pushed is None:
        raise _missing(f"{found.name}@{digest}")
    if not found.digest and began is not None and moment(pushed) > moment(began):
        raise InputRefused(
            f"{_OPTION}: {found.name}:{found.tag or _LATEST} was pushed at {pushed}, after this build was created ({began}): "
            "what ran the notebooks may have been another image.",
            reason="image_moved",
            advice=f"Run the build again, or set {_OPTION} to the image with its @sha256: digest.",
        )
    return f"{found.name}@{digest}"


def is_gone(image: str, registry: Registry) -> bool:
    """True if Artifact Registry no longer has an image, given by its digest. False for another registry.

    Raises CallFailed.
    """
    found = parse(image)
    return found is not None and bool(found.package) and registry.pushed(found.package, found.digest) is None


def _digest_of(found: ImageReference, registry: Registry) -> str:
    tag = found.tag or _LATEST
    digest = registry.digest(found.package, tag)
    if digest is None:
        raise _missing(f"{found.name}:{tag}")
    if not _DIGEST.fullmatch(digest):
        raise InputRefused(
            f"{_OPTION}: Artifact Registry answered {digest!r} as the digest of {found.name}:{tag}.",
            reason="no_digest",
            advice=f"Set {_OPTION} to the image with its @sha256: digest.",
        )
    return digest


def _missing(image: str) -> InputRefused:
    return InputRefused(
        f"{_OPTION}: there is no image {image} in Artifact Registry.",
        reason="no_image",
        advice=f"Push it, or set {_OPTION} to an image that exists.",
    )


def _package(host: str, path: list[str]) -> str:
    # A project of a domain is example.com/project in a reference, and example.com:project elsewhere.
    if path and _DOMAIN_DOT.fullmatch(path[0]) and len(path) > 1:
        path = [f"{path[0]}:{path[1]}", *path[2:]]
    if host in _OLD_HOSTS and len(path) > 1:
        return _path(path[0], _OLD_HOSTS[host], host, path[1:])
    match = _HOST.fullmatch(host)
    if match is None or len(path) < len(("project", "repository", "image")):
        return ""
    return _path(path[0], match["location"], path[1], path[2:])


def _path(project: str, location: str, repository: str, image: list[str]) -> str:
    return f"projects/{project}/locations/{location}/repositories/{repository}/packages/{'/'.join(image)}"
