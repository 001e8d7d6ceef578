"""Set-up, requirements and variables from a build's options to its results: one run of notebooks, each with its own."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.e2e.shared_run import run_patiently
from tests.e2e.world import Builder, Repo, notebook
from tests.package_index import PackageIndex

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

USES_ALL = (
    "import os, pathlib, alpha",
    "assert (os.environ['STAGE'], pathlib.Path('made.txt').read_text()) == ('test', 'by setup\\n')",
    "print('alpha', alpha.__version__)",
)


def test_each_notebook_gets_what_it_asks_for_and_each_failure_its_own_verdict(
    builder: Builder, repo: Repo
) -> None:
    with PackageIndex() as index:
        index.add("alpha", "1.0")
        good = {"requirements": "ci/requirements.txt", "setup": "ci/setup.sh", "env": {"STAGE": "test"}}
        entries = [
            {"path": "good.ipynb", **good, "index_url": index.url},
            {"path": "nowhere.ipynb", "requirements": "ci/nowhere.txt", "index_url": index.url},
            {"path": "lost.ipynb", "requirements": "ci/requirements.txt", "max_attempts": 2}
            | {"index_url": "http://127.0.0.1:9/simple"},
            {"path": "broken.ipynb", "setup": "ci/broken.sh"},
        ]
        repo.write(
            {
                "notebooks.yaml": yaml.safe_dump({"notebooks": entries}),
                "good.ipynb": notebook(*USES_ALL),
                **dict.fromkeys(("nowhere.ipynb", "lost.ipynb", "broken.ipynb"), notebook("1")),
                "ci/requirements.txt": "alpha>=1\n",
                "ci/nowhere.txt": "alpha\nbeta==7\n",
                "ci/setup.sh": "echo by setup > made.txt\n",
                "ci/broken.sh": "echo no such thing >&2\nexit 4\n",
            }
        )
        done = run_patiently(builder)
    assert done.code == 6, done.output
    jobs = {
        name: (job["reason"], job["exit_code"], job["attempts"])
        for name in ("good", "nowhere", "lost", "broken")
        for job in [done.job(name)]
    }
    assert jobs == {
        "good": ("green", 0, 1),
        "nowhere": ("requirements_unresolvable", 1, 1),
        "lost": ("index_unreachable", 6, 2),
        "broken": ("setup_failed", 1, 1),
    }
    assert "ci/nowhere.txt line 2 (beta==7)" in done.job("nowhere")["message"]
    assert done.job("broken")["message"] == "ci/broken.sh ended with exit status 4: no such thing"
    result = json.loads(done.published("good")["result.json"])
    assert result["evidence"]["packages"]["overlay"] == ["alpha==1.0"]
    assert "installed 1 package: alpha==1.0" in done.output
