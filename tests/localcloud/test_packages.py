"""uv gets pip's own settings, from files and variables, and reports the indexes that it used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.engines.packages import DEFAULT, install_command, reason, settings, switches, variables
from localcloud.engines.packages import certificates as trusted_certificates
from tests.certificates import certificates
from tests.package_index import PackageIndex

ROOT = Path(__file__).resolve().parents[2]

LISTED = """\
:env:.extra-index-url='https://more.example.com/simple'
global.cert='/etc/own.pem'
global.extra-index-url='\\nhttps://one.example.com/simple\\nfile:///two/simple'
global.index-url='https://user:secret@index.example.com/simple'
install.index-url='https://install.example.com/simple'
install.trusted-host='index.example.com other:8443'
download.index-url='https://download.example.com/simple'
"""


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with PackageIndex() as running:
        yield running


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Interpreter of a new environment."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "made"], check=True)
    return tmp_path / "made" / "bin" / "python"


@pytest.fixture
def pip_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only settings: an empty pip.conf, and a cache of uv's own."""
    for name in [*os.environ]:
        if name.startswith(("PIP_", "UV_", "SSL_")) or name.endswith("_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))
    file = tmp_path / "pip.conf"
    file.touch()
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    return file


def install(python: Path, *what: str) -> subprocess.CompletedProcess[str]:
    command = install_command("--python", str(python), "--compile-bytecode", *what)
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def version(python: Path, module: str) -> str:
    told = subprocess.run(
        [python, "-c", f"import {module}; print({module}.__version__, {module}.__cached__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    number, bytecode = told.stdout.split()
    assert Path(bytecode).is_file()
    return number


def test_the_weightiest_section_wins_and_those_of_other_commands_do_not_count() -> None:
    assert settings(LISTED) == {
        "extra-index-url": "https://more.example.com/simple",
        "cert": "/etc/own.pem",
        "index-url": "https://install.example.com/simple",
        "trusted-host": "index.example.com other:8443",
    }


@pytest.mark.parametrize(
    ("pip", "told"),
    [
        ({"index-url": "https://a/simple"}, {"UV_DEFAULT_INDEX": "https://a/simple"}),
        (
            {"extra-index-url": "https://b/simple\nfile:///c"},
            {"UV_INDEX": "https://b/simple file:///c", "UV_INDEX_STRATEGY": "unsafe-best-match"},
        ),
        ({"find-links": "/one ~/two"}, {"UV_FIND_LINKS": f"/one,{Path.home()}/two"}),
        ({"trusted-host": "a\nb:8443"}, {"UV_INSECURE_HOST": "a b:8443"}),
        ({"default-timeout": "2.5", "retries": "7"}, {"UV_HTTP_TIMEOUT": "3", "UV_HTTP_RETRIES": "7"}),
        ({"proxy": "p:3128"}, {"HTTP_PROXY": "http://p:3128", "HTTPS_PROXY": "http://p:3128"}),
        ({"client-cert": "/key.pem"}, {"SSL_CLIENT_CERT": "/key.pem"}),
        ({"keyring-provider": "subprocess"}, {"UV_KEYRING_PROVIDER": "subprocess"}),
        ({"no-cache-dir": "true"}, {}),
    ],
    ids=["index", "extra", "links", "trusted", "patience", "proxy", "client", "keyring", "unknown"],
)
def test_each_setting_has_uvs_word(pip: dict[str, str], told: dict[str, str]) -> None:
    ours = variables(pip, {})
    ours.pop("UV_SYSTEM_CERTS", None)
    assert ours == told


@pytest.mark.parametrize(
    ("pip", "environment", "told"),
    [
        ({"cert": "/own.pem"}, {"REQUESTS_CA_BUNDLE": "/other.pem"}, {"SSL_CERT_FILE": "/own.pem"}),
        ({}, {"REQUESTS_CA_BUNDLE": "/requests.pem"}, {"SSL_CERT_FILE": "/requests.pem"}),
        ({}, {"CURL_CA_BUNDLE": "/curl.pem"}, {"SSL_CERT_FILE": "/curl.pem"}),
        ({"cert": "/"}, {}, {"SSL_CERT_DIR": "/"}),
    ],
    ids=["pip", "requests", "curl", "folder"],
)
def test_certificates_are_those_that_pip_trusts(
    pip: dict[str, str], environment: dict[str, str], told: dict[str, str]
) -> None:
    assert variables(pip, environment) == told


def test_the_machines_own_certificates_count_where_it_has_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert variables({}, {}) == {}
    (tmp_path / "one.pem").touch()
    assert variables({}, {}) == {"UV_SYSTEM_CERTS": "true"}


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        pytest.param({"PATH": "/bin"}, {}, id="none"),
        pytest.param({"SSL_CERT_FILE": "/own.pem"}, {"SSL_CERT_FILE": "/own.pem"}, id="OpenSSL's"),
        pytest.param(
            {"PIP_CERT": "/pip.pem"}, {"PIP_CERT": "/pip.pem", "SSL_CERT_FILE": "/pip.pem"}, id="pip's"
        ),
        pytest.param(
            {"REQUESTS_CA_BUNDLE": "/"}, {"REQUESTS_CA_BUNDLE": "/", "SSL_CERT_DIR": "/"}, id="a folder"
        ),
    ],
)
def test_a_vm_trusts_the_certificates_of_this_machines_variables(
    environment: dict[str, str], told: dict[str, str]
) -> None:
    assert trusted_certificates(environment) == told


def test_settings_of_uv_take_precedence() -> None:
    pip = {
        "index-url": "https://pip/simple",
        "extra-index-url": "https://more/simple",
        "retries": "1",
        "cert": "/c",
    }
    environment = {"UV_DEFAULT_INDEX": "https://uv/simple", "UV_HTTP_RETRIES": "9"}
    assert variables(pip, environment) == {"SSL_CERT_FILE": "/c"}


@pytest.mark.parametrize(
    ("value", "options"), [("1", ["--no-index"]), ("True", ["--no-index"]), ("0", [])], ids=["1", "True", "0"]
)
def test_no_index_is_a_switch(value: str, options: list[str]) -> None:
    assert switches({"no-index": value}) == options


def test_an_index_that_only_pip_conf_names_is_used(python: Path, pip_conf: Path, index: PackageIndex) -> None:
    digest = index.add("tiny", "1.0")
    index.user = ("somebody", "word")
    pip_conf.write_text(f"[global]\nindex-url = {index.url.replace('://', '://somebody:word@')}\n")
    requirements = python.parent / "requirements.txt"
    requirements.write_text(f"tiny==1.0 --hash={digest}\n")
    done = install(python, "--require-hashes", "--no-deps", "--requirement", str(requirements))
    assert done.returncode == 0, done.stderr
    assert version(python, "tiny") == "1.0"


def test_further_indexes_are_as_good_as_the_first(
    python: Path, pip_conf: Path, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("tiny", "2.0")
    with PackageIndex() as more:
        more.add("tiny", "1.0")  # uv alone would ask this one first, and no other
        pip_conf.write_text(f"[install]\nindex-url = {index.url}\n")
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", more.url)
        assert install(python, "tiny").returncode == 0
        assert more.requests
    assert version(python, "tiny") == "2.0"


def test_an_index_that_fails_is_named_without_its_password(
    python: Path, pip_conf: Path, index: PackageIndex
) -> None:
    index.status = 403
    pip_conf.write_text(
        f"[global]\nindex-url = {index.url.replace('://', '://somebody:word@')}\nretries = 0\n"
    )
    done = install(python, "tiny")
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert last == (
        f"uv could not install the packages; it looked in {index.url.replace('://', '://***@')}: "
        "pip's settings (pip config list) and UV_* variables say where it looks."
    )
    assert "word" not in last


def test_certificates_of_pip_conf_are_trusted_and_others_are_not(
    python: Path, pip_conf: Path, index: PackageIndex, tmp_path: Path
) -> None:
    index.add("tiny", "1.0")
    own, chain = certificates(tmp_path)
    index.serve_by_tls(chain)
    url = index.url
    pip_conf.write_text(f"[global]\nindex-url = {url}\nretries = 0\n")
    refused = install(python, "tiny")
    assert refused.returncode != 0
    assert "pip config set global.cert FILE" in refused.stderr.splitlines()[-1]
    pip_conf.write_text(f"[global]\nindex-url = {url}\ncert = {own}\n")
    accepted = install(python, "tiny")
    assert accepted.returncode == 0, accepted.stderr


def test_where_nothing_is_set_uvs_own_index_is_named() -> None:
    assert f"it looked in {DEFAULT}: " in reason("no answer", {}, [])
    assert "it looked in no place at all: " in reason("none", {}, ["--no-index"])


def test_the_uv_that_installs_is_the_one_that_is_locked() -> None:
    alone = (ROOT / "requirements" / "uv.txt").read_text()
    assert alone.partition("\n")[2] in (ROOT / "requirements" / "dev.txt").read_text()
    assert alone.count("==") == 1
