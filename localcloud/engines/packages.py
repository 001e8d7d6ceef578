"""Installs packages by uv, from the indexes of pip's own settings on this machine.

`python -m localcloud.engines.packages ARGUMENT…` is `uv pip install ARGUMENT…` with those settings. uv reads neither
pip.conf nor PIP_* variables, but a company's index and certificates often are only there. Settings made for uv itself
win. Not translated are settings by which pip chooses among versions (constraints, binary or not): all versions here are
locked.
"""

from __future__ import annotations

import ast
import math
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

UV = Path(sys.executable).with_name("uv")
DEFAULT = "uv's default index"

# Variables of uv that name indexes: if one of them is set, pip's are ignored.
_UV_PLACES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
# Variables that name certificates to trust, as OpenSSL, requests, curl and pip read them.
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
# pip's sections for `pip install`, the one with the highest precedence last.
_SECTIONS = ("global", "install", ":env:")
_TRUE = {"1", "true", "yes", "on", "t", "y"}
_TLS_WORDS = re.compile(r"certificate|UnknownIssuer", re.IGNORECASE)
_CREDENTIALS = re.compile(r"://[^/@\s]*@")


def install_command(*arguments: str) -> list[str]:
    """Command line of an installation with the arguments of `uv pip install`; it needs no other environment."""
    return [sys.executable, "-m", "localcloud.engines.packages", *arguments]


def certificates(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that name trusted certificates; those of pip and requests count for the others too."""
    found = {name: environment[name] for name in _CERTIFICATES if environment.get(name)}
    named = next((found[name] for name in reversed(_CERTIFICATES) if name in found), None)
    if named is not None and not found.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}:
        found["SSL_CERT_DIR" if Path(named).is_dir() else "SSL_CERT_FILE"] = named
    return found


def settings(listed: str) -> dict[str, str]:
    """The settings of `pip install` in the output of `pip config list`, by option without its dashes."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in found:
            found[section][option] = str(ast.literal_eval(value)).strip()
    merged = {option: value for section in _SECTIONS for option, value in found[section].items()}
    return {option: value for option, value in merged.items() if value}


def variables(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that give uv the settings of `pip` and of the environment, except those that uv already has."""
    places = {} if any(environment.get(name) for name in _UV_PLACES) else dict(_places(pip))
    ours = {**places, **dict(_connection(pip)), **_certificates(pip, environment)}
    return {k: v for k, v in ours.items() if not (k.startswith("UV_") and environment.get(k))}


def _places(pip: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if index := pip.get("index-url"):
        yield "UV_DEFAULT_INDEX", index
    if extra := pip.get("extra-index-url"):
        yield "UV_INDEX", " ".join(extra.split())
        yield "UV_INDEX_STRATEGY", "unsafe-best-match"  # pip's: all indexes are equal
    if links := pip.get("find-links"):
        yield (
            "UV_FIND_LINKS",
            ",".join(str(Path(link).expanduser()) if link[0] == "~" else link for link in links.split()),
        )


def _connection(pip: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if hosts := pip.get("trusted-host"):
        yield "UV_INSECURE_HOST", " ".join(hosts.split())
    if seconds := pip.get("timeout") or pip.get("default-timeout"):
        yield "UV_HTTP_TIMEOUT", str(math.ceil(float(seconds)))
    if retries := pip.get("retries"):
        yield "UV_HTTP_RETRIES", retries
    if pip.get("keyring-provider") == "subprocess":
        yield "UV_KEYRING_PROVIDER", "subprocess"
    if proxy := pip.get("proxy"):
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            yield name, proxy if "://" in proxy else f"http://{proxy}"
    if key := pip.get("client-cert"):
        yield "SSL_CLIENT_CERT", key


def _certificates(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The certificates that pip trusts: its `cert`, else those of requests' variables, else those of this machine."""
    named = pip.get("cert") or environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE")
    if named:
        return {"SSL_CERT_DIR" if Path(named).is_dir() else "SSL_CERT_FILE": named}
    known = (
        ssl.get_default_verify_paths()
    )  # names only existing files; respects SSL_CERT_FILE and SSL_CERT_DIR
    own = known.cafile or (known.capath and any(Path(known.capath).iterdir()))
    return {"UV_SYSTEM_CERTS": "true"} if own else {}


def switches(pip: Mapping[str, str]) -> list[str]:
    """Options of `uv pip install` for settings of pip without a variable of uv."""
    return ["--no-index"] if pip.get("no-index", "").lower() in _TRUE else []


def reason(output: str, environment: Mapping[str, str], options: list[str]) -> str:
    """One sentence on the indexes of uv, without passwords, and on a remedy; `output` is uv's output."""
    named = [place for name in _UV_PLACES for place in environment.get(name, "").replace(",", " ").split()]
    where = _CREDENTIALS.sub("://***@", ", ".join(named))
    if _TLS_WORDS.search(output):
        remedy = "name the certificates to trust: pip config set global.cert FILE"
    else:
        remedy = "pip's settings (pip config list) and UV_* variables say where it looks"
    where = where or ("no place at all" if options else DEFAULT)
    return f"uv could not install the packages; it looked in {where}: {remedy}."


def _pip_settings() -> dict[str, str]:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, text=True, check=False
    )
    return settings(listed.stdout)


def main(arguments: list[str]) -> int:
    """Run `uv pip install` with the arguments; return its exit code. On failure, print the indexes."""
    begin = time.monotonic()
    pip = _pip_settings()
    options, environment = switches(pip), {**os.environ, **variables(pip, os.environ)}
    done = subprocess.run(
        [str(UV), "pip", "install", "--quiet", *options, *arguments],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    sys.stderr.write(done.stderr)
    if done.returncode:
        sys.stderr.write(f"{reason(done.stderr, environment, options)}\n")
    else:
        sys.stderr.write(f"installed: {' '.join(arguments[-1:])} after {time.monotonic() - begin:.1f} s\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
