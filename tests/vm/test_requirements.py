"""Requirements on a VM: an overlay behind the image's packages, which stay; and whose fault it is when that fails."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builder.plan.requirements_file import Requirements, read_requirements
from builder.vm.protocol import CaBundle, RequirementLine, RequirementsStep
from builder.vm.runner import requirements
from builder.vm.runner.certificates import own, trusted
from builder.vm.runner.fault import Fault
from builder.vm.runner.image_packages import Package
from builder.vm.runner.log import Log
from localcloud.engines.vm import images
from tests.certificates import certificates
from tests.machine_image import prefix_with
from tests.package_index import PackageIndex, wheel

from .vm_fixture import BUCKET, Outcome, VmFixture

FILE = "books/requirements.txt"


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with PackageIndex() as made:
        yield made


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a package of its own, in a version that no index has."""
    site = tmp_path_factory.mktemp("image") / "site"
    info = site / "marker-1.5+image.dist-info"
    info.mkdir(parents=True)
    (site / "marker.py").write_text("__version__ = 'of the image'\n")
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: Marker\nVersion: 1.5+image\nProvides-Extra: more\n"
        "Requires-Dist: not-anywhere>=9\nRequires-Dist: extra-part; extra == 'more'\n"
    )
    return prefix_with(site)


def described(text: str, **more: Any) -> dict[str, Any]:
    """The requirements as job.json has them."""
    read = read_requirements(FILE, lambda _path: text, only_index=False)
    assert isinstance(read, Requirements), read
    told = {"path": FILE, "timeout": 600, "index_url": None, "require_hashes": read.require_hashes}
    return {**told, "lines": [asdict(line) for line in read.lines], **more}


def step(text: str, **more: Any) -> RequirementsStep:
    """The requirements as the runner has them."""
    document = described(text, **more)
    return RequirementsStep(
        **{**document, "lines": tuple(RequirementLine(**one) for one in document["lines"])}
    )


def run(vm_fixture: VmFixture, prefix: Path, text: str, url: str, *cells: str) -> Outcome:
    """Run a notebook with requirements.

    Where it has cells of its own, the VM has a kit of its own: the overlay lies beside that.
    """
    job = {"requirements": described(text, index_url=url)}
    files = {FILE: text.encode()}
    return vm_fixture.run(*cells or ("1",), files=files, job=job, prefix=prefix, own_kit=bool(cells))


@dataclass(frozen=True)
class Installer:
    """Runs the runner's own installation in this process, without a VM, in a new folder each time."""

    folder: Path

    def install(
        self,
        text: str,
        url: str | None,
        *,
        files: Mapping[str, bytes] | None = None,
        image: tuple[Package, ...] = (),
        certificates: Mapping[str, str] | None = None,
        **more: Any,
    ) -> list[str]:
        """Return the packages that these requirements add to those of the image. Raises `Fault`."""
        home = Path(tempfile.mkdtemp(dir=self.folder))
        for name, content in {FILE: text.encode(), **(files or {})}.items():
            file = home / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        added = requirements.install(
            step(text, index_url=url, **more),
            image,
            uv=Path(sys.executable).with_name("uv"),
            home=home,
            tree=home,
            token=lambda: "",
            certificates=certificates or {},
            log=Log(lambda *_: None),
            stopping=lambda: "",
        )
        return [str(package) for package in added]

    def fault(self, text: str, url: str, **options: Any) -> Fault:
        """Return the fault that ends the installation."""
        with pytest.raises(Fault) as raised:
            self.install(text, url, **options)
        return raised.value


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    """An installer whose environment names no certificates."""
    for name in [*os.environ]:
        if name.startswith("SSL_") or name.endswith("_CA_BUNDLE"):
            monkeypatch.delenv(name)
    return Installer(tmp_path)


@pytest.mark.exhaustive
def test_packages_of_the_image_are_neither_installed_again_nor_shadowed(
    vm_fixture: VmFixture, image: Path, index: PackageIndex
) -> None:
    index.add("alpha", "1.0", ["marker>=1"])
    index.add("marker", "3.0")
    index.add("extra_part", "1.0")
    outcome = run(
        vm_fixture,
        image,
        "alpha>=1  # a comment\nmarker[more]\n",
        index.url,
        "import alpha, marker, extra_part\nprint(alpha.__version__, marker.__version__)",
        "import sys, importlib.metadata as m\nprint([p.rpartition('/')[2] for p in sys.path][-4:], m.version('marker'))",
        "import subprocess\n"
        "child = 'import alpha, marker; print(alpha.__version__, marker.__version__)'\n"
        "print(subprocess.run([sys.executable, '-c', child], capture_output=True, text=True, check=True).stdout)\n"
        "import concurrent.futures, multiprocessing\n"
        "with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:\n"
        "    print(pool.submit(m.version, 'alpha').result())",
    )
    assert outcome.reason is None, outcome.log
    assert outcome.text(2) == "1.0 of the image\n\n1.0\n"  # worker processes find the same
    assert outcome.text(0) == "1.0 of the image\n"
    assert outcome.text(1) == "['overlay', 'dist-packages', 'kernel', 'kernel.zip'] 1.5+image\n"
    packages = outcome.evidence["packages"]
    assert packages["overlay"] == ["alpha==1.0", "extra-part==1.0"]
    assert "marker==1.5+image" in packages["image"]
    assert not [path for path in index.requests if path.startswith("/files/marker")]
    assert "# requirements: books/requirements.txt" in outcome.log
    assert "# installed 2 packages: alpha==1.0, extra-part==1.0" in outcome.log
    assert "requirements" in outcome.evidence["timings"]


@pytest.mark.exhaustive  # test_only_the_distributions_packages_give_way shows which they are
def test_packages_of_the_distribution_limit_no_requirement(
    vm_fixture: VmFixture, index: PackageIndex
) -> None:
    """Ubuntu's requests 2.31.0 and urllib3 2.0.7: newer ones are installed, and imported. Its six is left alone.

    A version that the kernel cannot run with is installed as well, and the log says that the kernel has another.
    """
    index.add("requests", "2.32.5", ["urllib3>=2.1"])
    index.add("urllib3", "2.6.0")
    index.add("typing_extensions", "4.11.0")
    outcome = run(
        vm_fixture,
        images.prefix("ubuntu-2404"),
        "requests>=2.32\ntyping-extensions<4.12\n",
        index.url,
        "import requests, urllib3, six, importlib.metadata as m\n"
        "print(requests.__version__, urllib3.__version__, six.__version__, m.version('requests'))",
    )
    assert outcome.reason is None, outcome.log
    assert outcome.text(0) == "2.32.5 2.6.0 1.16.0 2.32.5\n"
    assert outcome.evidence["packages"]["overlay"] == [
        "requests==2.32.5",
        "typing-extensions==4.11.0",
        "urllib3==2.6.0",
    ]
    assert ") comes before the requirements' 4.11.0: jupyter-client needs >=4.13.0\n" in outcome.log
    assert "requests==2.31.0" in outcome.evidence["packages"]["image"]


@pytest.mark.parametrize(
    ("folder", "shipped"),
    [
        pytest.param("/usr/lib/python3/dist-packages", True, id="Debian's"),
        pytest.param("/usr/lib/python3.12/dist-packages", True, id="Debian's for one version"),
        pytest.param("/usr/local/lib/python3.12/dist-packages", False, id="the administrator's"),
        pytest.param("/opt/conda/lib/python3.12/site-packages", False, id="conda's"),
        pytest.param("/usr/local/src/image/lib/python3/dist-packages", True, id="below another local"),
    ],
)
def test_only_the_distributions_packages_give_way(folder: str, *, shipped: bool) -> None:
    assert Package("alpha", "1.0", folder=folder).stays is not shipped


def kept_back(line: str) -> str:
    """The beginning of the message where a package of the image conflicts with this line."""
    return f"{line} cannot be installed beside the image's own marker 1.5+image, which stays: "


def test_another_version_than_the_images_is_the_notebooks_fault(
    vm_fixture: VmFixture, image: Path, index: PackageIndex
) -> None:
    index.add("marker", "3.0")
    outcome = run(vm_fixture, image, "# first\nmarker==3.0\n", index.url)
    message = outcome.evidence["fault"]["message"]
    assert outcome.reason == "requirements_unresolvable", message
    assert message.startswith(kept_back("books/requirements.txt line 2 (marker==3.0)")), message
    assert outcome.evidence["papermill"] is None
    assert "marker==1.5+image" in outcome.evidence["packages"]["image"]


def test_a_package_that_needs_another_version_than_the_images_is_named(
    installer: Installer, index: PackageIndex
) -> None:
    index.add("alpha", "1.0")
    index.add("beta", "1.0", ["marker>=3"])
    index.add("marker", "3.0")
    fault = installer.fault("alpha\nbeta>=1\n", index.url, image=(Package("marker", "1.5+image"),))
    assert fault.reason == "requirements_unresolvable"
    assert fault.message.startswith(kept_back("books/requirements.txt line 2 (beta>=1)")), fault.message


def test_a_package_that_is_nowhere_is_named_with_its_line(installer: Installer, index: PackageIndex) -> None:
    index.add("alpha", "1.0")
    fault = installer.fault("alpha\n\ngamma\n", index.url)
    assert fault.reason == "requirements_unresolvable"
    assert fault.message.startswith(
        "books/requirements.txt line 3 (gamma) cannot be installed: gamma was not found"
    )


def test_an_index_that_does_not_answer_is_the_environments_fault(
    installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "HTTP_RETRIES", 0)  # uv waits seconds before each
    fault = installer.fault("alpha\n", "http://127.0.0.1:9/simple")
    assert fault.reason == "index_unreachable"
    assert fault.message == "http://127.0.0.1:9/simple cannot be reached: Connection refused (os error 111)"


def test_a_limit_of_its_own_ends_the_installation(installer: Installer, index: PackageIndex) -> None:
    index.silence = 60
    fault = installer.fault("alpha\n", index.url, timeout=1)
    assert fault.reason == "requirements_timeout"
    assert fault.message == "installing books/requirements.txt reached its limit of 1 s"


def test_wheels_of_the_repo_need_no_index_and_included_files_count(installer: Installer) -> None:
    name, content = wheel("alpha", "1.0")
    files = {f"books/wheels/{name}": content, "books/more.txt": b"alpha\n"}
    text = "--no-index\n--find-links wheels\n-r more.txt\n"
    assert installer.install(text, None, files=files) == ["alpha==1.0"]


def test_hashes_are_kept(installer: Installer, index: PackageIndex) -> None:
    right = index.add("alpha", "1.0", ["beta"])
    beta = index.add("beta", "1.0")
    both = f"alpha==1.0 \\\n    --hash={right}\nbeta==1.0 --hash={beta}\n"
    assert installer.install(both, index.url) == ["alpha==1.0", "beta==1.0"]
    wrong = installer.fault(f"alpha==1.0 --hash={beta}\nbeta==1.0 --hash={beta}\n", index.url)
    assert wrong.reason == "requirements_unresolvable"
    assert "Hash mismatch" in wrong.message
    lacking = installer.fault(f"alpha==1.0 --hash={right}\n", index.url)
    assert lacking.reason == "requirements_unresolvable"
    assert "no trusted hash was provided for: `beta`" in lacking.message


# --- an index behind a proxy that inspects TLS


@pytest.fixture
def inspected(index: PackageIndex, tmp_path: Path) -> tuple[PackageIndex, bytes]:
    """An index whose certificate an authority vouches for that no machine knows, and the authority's own."""
    authority, chain = certificates(tmp_path)
    index.add("alpha", "1.0")
    index.serve_by_tls(chain)
    return index, authority.read_bytes()


def test_a_certificate_that_the_vm_does_not_know_is_named_as_such(
    installer: Installer, inspected: tuple[PackageIndex, bytes]
) -> None:
    fault = installer.fault("alpha\n", inspected[0].url)
    assert fault.reason == "index_untrusted"
    assert "does not trust the certificate of https://127" in fault.message


def test_certificates_of_the_workspace_are_joined_to_the_vms_own(
    installer: Installer, inspected: tuple[PackageIndex, bytes], tmp_path: Path
) -> None:
    index, authority = inspected
    (tmp_path / "proxy.pem").write_bytes(authority)
    variables = trusted(CaBundle("proxy.pem"), tree=tmp_path, home=tmp_path, fetch=unreadable)
    (file,) = set(variables.values())
    assert sorted(variables) == ["CURL_CA_BUNDLE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"]
    assert Path(file).read_bytes() == own(os.environ).read_bytes() + b"\n" + authority
    assert installer.install("alpha\n", index.url, certificates=variables) == ["alpha==1.0"]


@pytest.mark.exhaustive
def test_certificates_of_an_object_count_for_set_up_and_requirements(
    vm_fixture: VmFixture, inspected: tuple[PackageIndex, bytes]
) -> None:
    index, authority = inspected
    vm_fixture.put("ci/staging/proxy.pem", authority)
    script = f"""set -e
python3 -c "import urllib.request; print('reached', urllib.request.urlopen('{index.url}/alpha/').status)"
"""
    outcome = vm_fixture.run(
        "import alpha",
        files={FILE: b"alpha\n", "tools/setup.sh": script.encode()},
        job={
            "requirements": described("alpha\n", index_url=index.url),
            "setup": {"path": "tools/setup.sh", "timeout": 600},
            "ca_bundle": {"bucket": BUCKET, "name": "ci/staging/proxy.pem"},
        },
        prefix=images.prefix("bare"),
    )
    assert outcome.reason is None, outcome.log
    assert "| reached 200" in outcome.log


def unreadable(bucket: str, name: str) -> bytes:
    raise OSError(f"gs://{bucket}/{name}: Forbidden: 403")


def test_an_object_that_the_vm_may_not_read_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"gs://b/proxy\.pem cannot be read: .*Forbidden: 403") as refused:
        trusted(CaBundle("proxy.pem", "b"), tree=tmp_path, home=tmp_path, fetch=unreadable)
    assert refused.value.reason == "ca_bundle_unusable"


def test_a_bundle_without_a_certificate_is_none(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("see the wiki")
    with pytest.raises(Fault, match=r"note\.txt has no certificate in PEM form") as refused:
        trusted(CaBundle("note.txt"), tree=tmp_path, home=tmp_path, fetch=lambda _bucket, _name: b"")
    assert refused.value.reason == "ca_bundle_unusable"


# --- what a proven run installed is installed again


def test_a_newer_version_meanwhile_changes_nothing(installer: Installer, index: PackageIndex) -> None:
    index.add("alpha", "1.0", ["beta"])
    index.add("alpha", "2.0")
    index.add("beta", "1.0")
    index.add("beta", "1.1")
    proven = ["alpha==1.0", "beta==1.0"]
    assert installer.install("alpha>=1\n", index.url, frozen=proven) == proven


def test_a_proven_version_that_is_gone_is_reported(installer: Installer, index: PackageIndex) -> None:
    index.add("alpha", "2.0")
    fault = installer.fault("alpha>=1\n", index.url, frozen=["alpha==1.0"])
    assert fault.reason == "requirements_unresolvable"
    assert fault.message == (
        "books/requirements.txt line 1 (alpha>=1) does not give the packages that this notebook was proven with, alpha==1.0 "
        "among them: there is no version of alpha==1.0 and you require alpha==1.0, we can conclude that your requirements are "
        "unsatisfiable; run the notebook again and deploy it, so that scheduled runs install the current versions"
    )


def test_packages_that_differ_from_the_proven_ones_are_reported(
    installer: Installer, index: PackageIndex
) -> None:
    """The same version is built again with another dependency, which no constraint fixes."""
    index.add("alpha", "1.0", ["beta"])
    index.add("beta", "1.0")
    fault = installer.fault("alpha\n", index.url, frozen=["alpha==1.0", "gamma==3.0"])
    assert fault.reason == "requirements_unresolvable"
    assert "proven with: beta==1.0 is new and gamma==3.0 is missing; run" in fault.message


def test_only_packages_of_the_users_own_lock_are_not_held(tmp_path: Path) -> None:
    free, hashed = wanted("alpha\n"), wanted("alpha==1.0 --hash=sha256:00\n")
    proven = ("alpha==1.0", "beta==2.0")
    assert requirements._proven(replace(hashed, frozen=proven), tmp_path) == []
    assert requirements._proven(replace(free, frozen=()), tmp_path) == []
    assert requirements._proven(free, tmp_path) == []
    option, file = requirements._proven(replace(free, frozen=proven), tmp_path)
    assert (option, Path(file).read_text()) == ("--constraint", "alpha==1.0\nbeta==2.0\n")


# --- what uv says, and whose fault that is


NOWHERE = """error: Request failed after 3 retries in 1.1s
  cause: Failed to fetch: https://packages.example.com/simple/alpha/
  cause: {}"""


def wanted(text: str = "alpha\n", url: str | None = "https://packages.example.com/simple") -> Any:
    return step(text, index_url=url)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(NOWHERE.format("dns error"), "index_unreachable", id="no DNS"),
        pytest.param(NOWHERE.format("operation timed out"), "index_unreachable", id="timeout"),
        pytest.param(
            NOWHERE.format("HTTP status server error (503 Service Unavailable) for url"),
            "index_unreachable",
            id="503",
        ),
        pytest.param(
            NOWHERE.format("HTTP status client error (429 Too Many Requests) for url"),
            "index_unreachable",
            id="429",
        ),
        pytest.param(
            NOWHERE.format("HTTP status client error (404 Not Found) for url"),
            "requirements_unresolvable",
            id="404",
        ),
        pytest.param(
            NOWHERE.format("HTTP status client error (403 Forbidden) for url"), "index_refused", id="403"
        ),
        pytest.param(NOWHERE.format("No space left on device (os error 28)"), "disk_full", id="disk full"),
        pytest.param(
            "error: No solution found\n  cause: the timed out thing",
            "requirements_unresolvable",
            id="no solution",
        ),
        pytest.param(
            NOWHERE.format("invalid peer certificate: UnknownIssuer"), "index_untrusted", id="certificate"
        ),
        pytest.param("", "requirements_unresolvable", id="nothing said"),
    ],
)
def test_each_failure_has_its_reason(said: str, reason: str) -> None:
    assert requirements.explain(said, wanted(), ()).reason == reason


def test_only_an_exact_name_is_blamed() -> None:
    said = "error: No solution found\n  cause: Because you require pandas-stubs and numpy==2.1.10, we can conclude"
    image = (Package("numpy", "2.1.1"), Package("pandas", "3"))
    fault = requirements.explain(said, wanted("pandas\npandas_stubs\n"), image)
    assert fault.message == (
        "books/requirements.txt line 2 (pandas_stubs) cannot be installed: you require pandas-stubs and numpy==2.1.10, "
        "we can conclude"
    )


def test_artifact_registry_gets_the_vms_own_token_and_nobody_else_does(
    monkeypatch: pytest.MonkeyPatch, index: PackageIndex
) -> None:
    def token() -> str:
        return "t0ken"

    assert requirements.index_options(index.url, token) == (["--default-index", index.url], {})
    assert requirements.index_options(None, token) == ([], {})
    for stranger in (
        "https://europe-python.pkg.dev.example.com/p/r/simple",
        "https://example.com/x-python.pkg.dev",
    ):
        assert requirements.index_options(stranger, token)[1] == {}
    url = "https://europe-python.pkg.dev/project/repository/simple/"
    options, secret = requirements.index_options(url, token)
    assert options == ["--default-index", f"nb={url}"]
    assert sorted(secret.values()) == ["oauth2accesstoken", "t0ken"]


def test_uv_takes_the_token_from_where_it_is_put(
    kit: Any, monkeypatch: pytest.MonkeyPatch, index: PackageIndex, tmp_path: Path
) -> None:
    """Stands in for Artifact Registry: an index that wants the same user and password."""
    import subprocess

    monkeypatch.setattr(requirements, "ARTIFACT_REGISTRY", "127.0.0.1")
    index.add("alpha", "1.0")
    index.user = ("oauth2accesstoken", "t0ken")
    command = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "install",
        "--no-config",
        "--no-cache",
        "--target",
    ]
    for given, code in (("t0ken", 0), ("other", 1)):
        options, secret = requirements.index_options(index.url, lambda given=given: given)  # type: ignore[misc]
        environment = {**requirements._environment({}), **secret}
        done = subprocess.run(
            [*command, str(tmp_path / given), *options, "alpha"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert given not in done.stderr
    assert requirements.explain(done.stderr, wanted(), ()).reason == "index_refused"
