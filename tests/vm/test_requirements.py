"""Requirements on a VM: an overlay behind the image's packages, which stay; and whose fault it is when that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.plan.requirements_file import Requirements, read_requirements
from builder.vm.runner import requirements
from builder.vm.runner.image_packages import Package
from builder.vm.runner.settings import Requirements as Wanted
from localcloud.machine import images
from tests.package_index import PackageIndex, wheel

from .world import Outcome, World

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
    return images.prefix_with(site)


def described(text: str, **more: Any) -> dict[str, Any]:
    """The requirements as job.json has them."""
    read = read_requirements(FILE, lambda _path: text, only_index=False)
    assert isinstance(read, Requirements), read
    told = {"path": FILE, "timeout": 60, "index_url": None, "require_hashes": read.require_hashes}
    return {**told, "lines": read.describe(), **more}


def run(world: World, prefix: Path, text: str, url: str | None, *cells: str, **more: Any) -> Outcome:
    files = {FILE: text.encode(), **more.pop("files", {})}
    job = {"requirements": described(text, index_url=url, **more)}
    return world.run(*cells or ("1",), files=files, job=job, prefix=prefix)


def test_what_the_image_has_is_neither_installed_again_nor_shadowed(
    world: World, image: Path, index: PackageIndex
) -> None:
    index.add("alpha", "1.0", ["marker>=1"])
    index.add("marker", "3.0")
    index.add("extra_part", "1.0")
    outcome = run(
        world,
        image,
        "alpha>=1  # a comment\nmarker[more]\n",
        index.url,
        "import alpha, marker, extra_part\nprint(alpha.__version__, marker.__version__)",
        "import sys, importlib.metadata as m\nprint([p.rpartition('/')[2] for p in sys.path][-4:], m.version('marker'))",
    )
    assert outcome.reason is None, outcome.log
    assert outcome.text(0) == "1.0 of the image\n"
    assert outcome.text(1).endswith(
        "-packages', 'overlay', 'kernel', 'kernel.zip'] 1.5+image\n"
    )  # Debian: dist-
    packages = outcome.evidence["packages"]
    assert packages["overlay"] == ["alpha==1.0", "extra-part==1.0"]
    assert "marker==1.5+image" in packages["image"]
    assert not [path for path in index.requests if path.startswith("/files/marker")]
    assert "# requirements: books/requirements.txt" in outcome.log
    assert "# installed 2 packages: alpha==1.0, extra-part==1.0" in outcome.log
    assert "requirements" in outcome.evidence["timings"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# first\nmarker==3.0\n", "books/requirements.txt line 2 (marker==3.0)"),
        ("alpha\nbeta>=1\n", "books/requirements.txt line 2 (beta>=1)"),
    ],
    ids=["asked for", "needed by what was asked for"],
)
def test_another_version_than_the_images_is_the_notebooks_fault(
    world: World, image: Path, index: PackageIndex, text: str, line: str
) -> None:
    index.add("alpha", "1.0")
    index.add("beta", "1.0", ["marker>=3"])
    index.add("marker", "3.0")
    outcome = run(world, image, text, index.url)
    message = outcome.evidence["fault"]["message"]
    assert outcome.reason == "requirements_unresolvable", message
    begin = f"{line} cannot be installed beside the image's own marker 1.5+image, which stays: "
    assert message.startswith(begin), message
    assert outcome.evidence["papermill"] is None
    assert "marker==1.5+image" in outcome.evidence["packages"]["image"]


def test_a_package_that_is_nowhere_is_named_with_its_line(world: World, index: PackageIndex) -> None:
    index.add("alpha", "1.0")
    outcome = run(world, images.prefix("bare"), "alpha\n\ngamma\n", index.url)
    assert outcome.reason == "requirements_unresolvable"
    message = outcome.evidence["fault"]["message"]
    assert message.startswith(
        "books/requirements.txt line 3 (gamma) cannot be installed: gamma was not found"
    )


def test_an_index_that_does_not_answer_is_the_environments_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = run(world, images.prefix("bare"), "alpha\n", "http://127.0.0.1:9/simple")
    assert outcome.reason == "index_unreachable"
    message = outcome.evidence["fault"]["message"]
    assert message == "http://127.0.0.1:9/simple cannot be reached: Connection refused (os error 111)"


def test_a_limit_of_its_own_ends_the_installation(world: World, index: PackageIndex) -> None:
    index.silence = 60
    begun = time.monotonic()
    outcome = run(world, images.prefix("bare"), "alpha\n", index.url, timeout=2)
    assert outcome.reason == "requirements_timeout"
    assert (
        outcome.evidence["fault"]["message"] == "installing books/requirements.txt reached its limit of 2 s"
    )
    assert time.monotonic() - begun < 40


def test_wheels_of_the_repo_need_no_index_and_included_files_count(world: World) -> None:
    name, content = wheel("alpha", "1.0")
    outcome = run(
        world,
        images.prefix("bare"),
        "--no-index\n--find-links wheels\n-r more.txt\n",
        None,
        "import alpha\nprint(alpha.__version__)",
        files={f"books/wheels/{name}": content, "books/more.txt": b"alpha\n"},
    )
    assert outcome.reason is None, outcome.log
    assert outcome.text(0) == "1.0\n"
    assert outcome.evidence["packages"]["overlay"] == ["alpha==1.0"]


def test_hashes_are_kept(world: World, index: PackageIndex) -> None:
    right = index.add("alpha", "1.0", ["beta"])
    beta = index.add("beta", "1.0")
    bare = images.prefix("bare")
    both = f"alpha==1.0 \\\n    --hash={right}\nbeta==1.0 --hash={beta}\n"
    assert run(world, bare, both, index.url, "import alpha, beta").reason is None
    wrong = run(world, bare, f"alpha==1.0 --hash={beta}\nbeta==1.0 --hash={beta}\n", index.url)
    assert wrong.reason == "requirements_unresolvable"
    assert "Hash mismatch" in wrong.evidence["fault"]["message"]
    lacking = run(world, bare, f"alpha==1.0 --hash={right}\n", index.url)
    assert lacking.reason == "requirements_unresolvable"
    assert "no trusted hash was provided for: `beta`" in lacking.evidence["fault"]["message"]


def test_without_requirements_the_images_packages_are_recorded(world: World, image: Path) -> None:
    outcome = world.run("import os\nprint(os.environ['STAGE'])", prefix=image, job={"env": {"STAGE": "test"}})
    assert outcome.text(0) == "test\n"
    assert outcome.evidence["packages"]["overlay"] == []
    assert "marker==1.5+image" in outcome.evidence["packages"]["image"]


# --- what a proven run installed is installed again


def test_a_newer_version_meanwhile_changes_nothing(world: World, index: PackageIndex) -> None:
    index.add("alpha", "1.0", ["beta"])
    index.add("alpha", "2.0")
    index.add("beta", "1.0")
    index.add("beta", "1.1")
    cell = "import alpha, beta\nprint(alpha.__version__, beta.__version__)"
    proven = ["alpha==1.0", "beta==1.0"]
    outcome = run(world, images.prefix("bare"), "alpha>=1\n", index.url, cell, frozen=proven)
    assert outcome.reason is None, outcome.log
    assert outcome.text(0) == "1.0 1.0\n"
    assert outcome.evidence["packages"]["overlay"] == proven


def test_a_proven_version_that_is_gone_is_told(world: World, index: PackageIndex) -> None:
    index.add("alpha", "2.0")
    outcome = run(world, images.prefix("bare"), "alpha>=1\n", index.url, frozen=["alpha==1.0"])
    assert outcome.reason == "requirements_unresolvable"
    assert outcome.evidence["papermill"] is None
    assert outcome.evidence["fault"]["message"] == (
        "books/requirements.txt line 1 (alpha>=1) does not give the packages that this notebook was proven with, alpha==1.0 "
        "among them: there is no version of alpha==1.0 and you require alpha==1.0, we can conclude that your requirements are "
        "unsatisfiable; run the notebook anew and deploy it, and scheduled runs install what is there now"
    )


def test_other_packages_than_were_proven_are_told(world: World, index: PackageIndex) -> None:
    """The same version, made anew with another need: no constraint holds what no run had."""
    index.add("alpha", "1.0", ["beta"])
    index.add("beta", "1.0")
    outcome = run(world, images.prefix("bare"), "alpha\n", index.url, frozen=["alpha==1.0", "gamma==3.0"])
    assert outcome.reason == "requirements_unresolvable"
    message = outcome.evidence["fault"]["message"]
    assert "proven with: beta==1.0 came beside them and gamma==3.0 did not come; run" in message


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
    return Wanted.of(described(text, index_url=url))


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
        pytest.param("", "requirements_unresolvable", id="nothing said"),
    ],
)
def test_each_failure_has_its_reason(said: str, reason: str) -> None:
    assert requirements.explain(said, wanted(), ()).reason == reason


def test_only_what_is_named_whole_is_to_blame() -> None:
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
    import sys

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
        environment = {**requirements._environment(), **secret}
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
