"""Set-up, requirements and variables from a build's options to its results, and again from what `deploy` packs.

A green notebook is packed, unpacked elsewhere and run again: with the same bytes, image and packages, or not at all.
Another run has a notebook for each way to fail.
"""

from __future__ import annotations

import datetime as dt
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder import kit
from builder.act.proofs import Proof, decode
from builder.deploy.archive import pack_archive
from builder.plan.build_plan import build_plan
from builder.plan.choose import choose
from builder.plan.deployed import CONFIG
from builder.plan.event import RunRequest
from builder.plan.workspace import Workspace
from localcloud.core import archives
from tests.e2e.builder_process import Builder, Finished, Repo, notebook
from tests.loading import load_options
from tests.package_index import PackageIndex

CELLS = (
    ("city = ''", ["parameters"]),
    "import os, pathlib, alpha, shared.words as words",
    "assert pathlib.Path('made.txt').read_text() == 'by setup\\n'\nprint('alpha', alpha.__version__)",
    "pathlib.Path('outputs/told.txt').write_text(' '.join([words.HELLO, city, alpha.__version__, os.environ['STAGE']]))",
)
ENTRY = {
    "path": "sub/a.ipynb",
    "include": ["shared/*.py"],
    "parameters_file": "sub/p.json",
    "requirements": "ci/requirements.txt",
    "setup": "ci/setup.sh",
    "env": {"STAGE": "1e3"},
    "expect": ["outputs/*.txt>=10B"],
}


def proof_of(done: Finished) -> Proof:
    (path,) = (done.bucket / done.prefix / "proofs").glob("*.json")
    found = decode(path.read_bytes())
    assert found is not None
    return found


def archived(builder: Builder, done: Finished, folder: Path, target: Path) -> Proof:
    """Pack the archive in this process, as `deploy` would, and unpack it; return the proof of the only green job."""
    result = json.loads(done.published("sub-a")["result.json"])
    proof = proof_of(done)
    chosen_by = builder.environment(NB_NOTEBOOKS="sub/a.ipynb")
    env = {name: value for name, value in chosen_by.items() if name.startswith("NB_")}
    options = load_options([], env, lambda name: (folder / name).read_text())
    request = RunRequest(dt.date(2026, 7, 1), dt.date(2026, 7, 1))
    chosen = choose(options, Workspace(folder), request)
    plan = build_plan(options, chosen, request)
    assert list(proof.packages) == result["evidence"]["packages"]["overlay"]
    assert proof.workspace_sha256 == result["evidence"]["inputs"]["workspace"]["sha256"]
    target.mkdir()
    archive = pack_archive(plan, chosen, options, {"sub-a": proof}, kit.load().sha256, target)
    with tarfile.open(archive.path) as tar:
        archives.unpack(tar, target / "unpacked")
    return proof


def inputs_of(done: Finished) -> dict[str, Any]:
    return dict(json.loads(done.published("sub-a")["result.json"])["evidence"]["inputs"])


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with PackageIndex() as made:
        made.add("alpha", "1.0")
        yield made


@pytest.mark.exhaustive  # tests/vm: test_requirements.py, test_setup.py; tests/integration/test_run.py has what is tried again
def test_each_failure_is_the_notebook_s_or_the_environment_s(
    builder: Builder, repo: Repo, index: PackageIndex
) -> None:
    entries = [
        {"path": "nowhere.ipynb", "requirements": "ci/nowhere.txt", "index_url": index.url},
        {"path": "lost.ipynb", "requirements": "ci/requirements.txt", "max_attempts": 2}
        # The same index, as if it were on the internet, which no VM without Cloud NAT reaches.
        | {"index_url": index.url.replace("127.0.0.1", "localhost")},
        {"path": "broken.ipynb", "setup": "ci/broken.sh"},
    ]
    repo.write(
        {
            "notebooks.yaml": json.dumps({"notebooks": entries}),
            **dict.fromkeys(("nowhere.ipynb", "lost.ipynb", "broken.ipynb"), notebook("1")),
            "ci/requirements.txt": "alpha>=1\n",
            "ci/nowhere.txt": "alpha\nbeta==7\n",
            "ci/broken.sh": "echo no such thing >&2\nexit 4\n",
        }
    )
    done = builder.run()
    assert done.code == 6, done.output
    jobs = {
        name: (job["reason"], job["exit_code"], job["attempts"])
        for name in ("nowhere", "lost", "broken")
        for job in [done.job(name)]
    }
    assert jobs == {
        "nowhere": ("requirements_unresolvable", 1, 1),
        "lost": ("index_unreachable", 6, 2),
        "broken": ("setup_failed", 1, 1),
    }
    assert "ci/nowhere.txt line 2 (beta==7)" in done.job("nowhere")["message"]
    assert "needs an index in Artifact Registry (NB_INDEX_URL) or Cloud NAT" in done.output
    assert done.job("broken")["message"] == "ci/broken.sh ended with exit status 4: no such thing"


@pytest.mark.exhaustive
def test_a_notebook_gets_its_settings_and_an_archive_runs_as_tested_or_not_at_all(
    builder: Builder, repo: Repo, tmp_path: Path, index: PackageIndex
) -> None:
    repo.write(
        {
            "notebooks.yaml": json.dumps({"notebooks": [{**ENTRY, "index_url": index.url}]}),
            "sub/a.ipynb": notebook(*CELLS),
            "sub/p.json": '{"city": "São Paulo"}',
            "shared/words.py": "HELLO = 'hello'\n",
            "ci/requirements.txt": "alpha>=1\n",
            "ci/setup.sh": "ln -s ../shared shared\necho by setup > made.txt\n",
        }
    )
    done = builder.run()
    assert done.code == 0, done.output
    result = json.loads(done.published("sub-a")["result.json"])
    assert result["evidence"]["packages"]["overlay"] == ["alpha==1.0"]
    assert "installed 1 package: alpha==1.0" in done.output
    assert done.published("sub-a")["outputs/told.txt"].decode() == "hello São Paulo 1.0 1e3"
    proof = archived(builder, done, repo.folder, tmp_path / "archive")
    index.add("alpha", "2.0")
    builder.folder = tmp_path / "archive" / "unpacked"
    scheduler = builder.cloud.environment("notebook-scheduler")
    again = builder.run(**scheduler, NB_CONFIG=CONFIG, NB_EVENT="{}")
    assert again.code == 0, again.output
    told = again.published("sub-a")
    assert told["outputs/told.txt"].decode() == "hello São Paulo 1.0 1e3"
    assert inputs_of(again)["workspace"]["sha256"] == proof.workspace_sha256
    assert f"image {proof.image} is {proof.image}" in again.output
    assert "installed 1 package: alpha==1.0" in again.output

    (builder.folder / "shared" / "words.py").write_text("HELLO = 'bye'\n")
    for command in ("run", "plan", "check"):
        refused = builder.run(command, NB_CONFIG=CONFIG, NB_EVENT="{}")
        assert refused.code == 2, refused.output
        assert "shared/words.py: has changed since; this is not what was tested" in refused.output
        assert not (refused.bucket / refused.prefix / "staging" / refused.run).exists()
