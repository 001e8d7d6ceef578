"""Installs packages by uv, from where pip's own settings on this machine say that packages come from.

`python -m localcloud.packages ARGUMENT…` is `uv pip install ARGUMENT…` with those settings. uv reads neither pip.conf nor
PIP_* variables, and a company's index and certificates often stand there alone. Settings made for uv itself win. Not
translated is what lets pip choose among versions (constraints, binary or not): what is installed here is locked.
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

# Variables of uv that say where packages come from: who sets one of them has told uv all.
_UV_PLACES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
# pip's sections that hold for `pip install`, the weightiest last, as pip has them.
_SECTIONS = ("global", "install", ":env:")
_TRUE = {"1", "true", "yes", "on", "t", "y"}
_TLS_WORDS = re.compile(r"certificate|UnknownIssuer", re.IGNORECASE)
_CREDENTIALS = re.compile(r"://[^/@\s]*@")


def install_command(*arguments: str) -> list[str]:
    """Command line that installs what the arguments of `uv pip install` name; it needs no other environment."""
    return [sys.executable, "-m", "localcloud.packages", *arguments]


def settings(listed: str) -> dict[str, str]:
    """What holds for `pip install` in the output of `pip config list`, by option without its dashes."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in found:
            found[section][option] = str(ast.literal_eval(value)).strip()
    merged = {option: value for section in _SECTIONS for option, value in found[section].items()}
    return {option: value for option, value in merged.items() if value}


def variables(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that tell uv what `pip`'s settings and the environment tell pip. What is set for uv already is left out."""
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
    """What pip trusts: its `cert`, else what the variables of requests name, else what OpenSSL and this machine trust."""
    named = pip.get("cert") or environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE")
    if named:
        return {"SSL_CERT_DIR" if Path(named).is_dir() else "SSL_CERT_FILE": named}
    known = ssl.get_default_verify_paths()  # names only what is there; obeys SSL_CERT_FILE and SSL_CERT_DIR
    own = known.cafile or (known.capath and any(Path(known.capath).iterdir()))
    return {"UV_SYSTEM_CERTS": "true"} if own else {}


def switches(pip: Mapping[str, str]) -> list[str]:
    """Options of `uv pip install` for those of pip's settings that uv has no variable for."""
    return ["--no-index"] if pip.get("no-index", "").lower() in _TRUE else []


def reason(said: str, told: Mapping[str, str], options: list[str]) -> str:
    """One sentence on where uv looked, without passwords, and what may help; `said` are uv's own words."""
    named = [place for name in _UV_PLACES for place in told.get(name, "").replace(",", " ").split()]
    where = _CREDENTIALS.sub("://***@", ", ".join(named))
    if _TLS_WORDS.search(said):
        mend = "name the certificates to trust: pip config set global.cert FILE"
    else:
        mend = "pip's settings (pip config list) and UV_* variables say where it looks"
    where = where or ("no place at all" if options else DEFAULT)
    return f"uv could not install the packages; it looked in {where}: {mend}."


def _pip_settings() -> dict[str, str]:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, text=True, check=False
    )
    return settings(listed.stdout)


def main(arguments: list[str]) -> int:
    """Run `uv pip install` with the arguments; return its exit code, and tell where it looked if it failed."""
    begin = time.monotonic()
    pip = _pip_settings()
    options, told = switches(pip), {**os.environ, **variables(pip, os.environ)}
    done = subprocess.run(
        [str(UV), "pip", "install", "--quiet", *options, *arguments],
        env=told,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    sys.stderr.write(done.stderr)
    if done.returncode:
        sys.stderr.write(f"{reason(done.stderr, told, options)}\n")
    else:
        sys.stderr.write(f"installed: {' '.join(arguments[-1:])} after {time.monotonic() - begin:.1f} s\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
