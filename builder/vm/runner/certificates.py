"""Collects the certificates that package installs trust: the VM's own, and those that the job names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import certifi

from builder.vm.protocol import CaBundle

from .fault import Fault

# The file of trusted certificates in several distributions.
SYSTEM_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
)
# The variables that OpenSSL, Python, uv, requests, curl and pip read.
VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
BEGIN = b"-----BEGIN CERTIFICATE-----"


def trusted(
    wanted: CaBundle | None, *, tree: Path, home: Path, fetch: Callable[[str, str], bytes]
) -> dict[str, str]:
    """Return the variables that name a file with the certificates of `wanted` and the VM's own. Empty without `wanted`.

    `fetch` reads an object, by bucket and name, as the VM's account, and raises OSError. Raises `Fault`.
    """
    if wanted is None:
        return {}
    added = _read(wanted, tree, fetch)
    if BEGIN not in added:
        raise Fault("ca_bundle_unusable", f"{wanted} has no certificate in PEM form")
    bundle = home / "certificates.pem"
    bundle.write_bytes(own(os.environ).read_bytes() + b"\n" + added)
    return dict.fromkeys(VARIABLES, str(bundle))


def own(environment: Mapping[str, str]) -> Path:
    """Return the file of the VM's certificates: from its variables, else the system's, else Mozilla's in the kit."""
    named = [Path(environment[name]) for name in VARIABLES if environment.get(name)]
    return next((path for path in (*named, *SYSTEM_BUNDLES) if path.is_file()), Path(certifi.where()))


def _read(wanted: CaBundle, tree: Path, fetch: Callable[[str, str], bytes]) -> bytes:
    try:
        if wanted.bucket is None:
            return (tree / wanted.name).read_bytes()
        return fetch(wanted.bucket, wanted.name)
    except OSError as error:
        raise Fault("ca_bundle_unusable", f"{wanted} cannot be read: {error}") from error
