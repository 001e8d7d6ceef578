"""What was tested, packed, unpacked elsewhere and run again: the same bytes, image and packages, or no run at all."""

from __future__ import annotations

import datetime as dt
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from builder import kit
from builder.act.proofs import Proof, decode
from builder.deploy.archive import Proven, pack_archive
from builder.options import load_options
from builder.plan.choose import choose
from builder.plan.deployed import CONFIG
from builder.plan.event import Asked
from builder.plan.make import make_plan
from builder.plan.workspace import Workspace
from localcloud import archives
from tests.e2e.world import Builder, Finished, Repo, notebook
from tests.package_index import PackageIndex

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CELLS = (
    ("city = ''", ["parameters"]),
    "import os, pathlib, alpha, shared.words as words",
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


def archived(builder: Builder, folder: Path, target: Path) -> Proof:
    """Packs the archive in this process, as `deploy` would, and unpacks it; returns the proof of the only job."""
    done = builder.run()
    assert done.code == 0, done.output
    result = json.loads(done.published("sub-a")["result.json"])
    proof = proof_of(done)
    env = {name: value for name, value in builder.environment().items() if name.startswith("NB_")}
    options = load_options([], env, lambda name: (folder / name).read_text())
    asked = Asked(dt.date(2026, 7, 1))
    chosen = choose(options, Workspace(folder), asked)
    plan = make_plan(options, chosen, asked)
    packages = tuple(result["evidence"]["packages"]["overlay"])
    proven = {"sub-a": Proven(proof.image, packages, result["evidence"]["inputs"]["workspace"]["sha256"])}
    target.mkdir()
    archive = pack_archive(plan, chosen, options, proven, kit.load().sha256, target)
    with tarfile.open(archive.path) as tar:
        archives.unpack(tar, target / "unpacked")
    return proof


def inputs_of(done: Finished) -> dict[str, Any]:
    return dict(json.loads(done.published("sub-a")["result.json"])["evidence"]["inputs"])


def test_an_archive_runs_as_it_was_tested_or_not_at_all(builder: Builder, repo: Repo, tmp_path: Path) -> None:
    with PackageIndex() as index:
        index.add("alpha", "1.0")
        repo.write(
            {
                "notebooks.yaml": json.dumps({"notebooks": [{**ENTRY, "index_url": index.url}]}),
                "sub/a.ipynb": notebook(*CELLS),
                "sub/p.json": '{"city": "São Paulo"}',
                "shared/words.py": "HELLO = 'hello'\n",
                "ci/requirements.txt": "alpha>=1\n",
                "ci/setup.sh": "ln -s ../shared shared\n",
            }
        )
        proof = archived(builder, repo.folder, tmp_path / "archive")
        index.add("alpha", "2.0")
        builder.folder = tmp_path / "archive" / "unpacked"
        again = builder.run(NB_CONFIG=CONFIG, NB_EVENT="{}")
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
