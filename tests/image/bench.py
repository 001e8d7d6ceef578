"""`make image-bench`.

How large the image is and how fast it starts, as JSON lines, each beside something of the same minute.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import uuid
from datetime import datetime
from pathlib import Path

from tests.bench import seconds, tell
from tests.e2e.builder_process import notebook
from tests.image.closed_cloud import BUCKET, ClosedCloud
from tests.image.engine import Engine
from tests.image.steps import Steps

IMAGE = os.environ.get("IMAGE", "notebook-builder:dev")
ROUNDS = 5
_IMPORTS = (
    "import sys, time; sys.path.insert(0, '/opt/notebook-builder'); begun = time.monotonic(); "
    "import google.cloud.compute_v1, google.cloud.storage; print(time.monotonic() - begun)"
)
# Prints when the first VM is seen, in seconds since the epoch.
_FIRST_VM = """
import json, sys, time, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
while not json.load(opener.open(sys.argv[1] + "/_localcloud/inventory"))["compute.instances"]:
    time.sleep(0.02)
print(time.time())
"""


def help_page(engine: Engine) -> None:
    """`--help` of the image, beside a Python in the same image that does nothing."""
    bare = ("run", "--rm", "--network", "none", "--entrypoint", "python", IMAGE, "-c", "pass")
    pairs = [
        (
            seconds(lambda: engine.call("run", "--rm", "--network", "none", IMAGE, "--help")),
            seconds(lambda: engine.call(*bare)),
        )
        for _ in range(ROUNDS)
    ]
    ours, none = (statistics.median(column) for column in zip(*pairs, strict=True))
    tell(
        "image: --help",
        ours,
        "s",
        compared_with="python -c pass",
        baseline=round(none, 3),
        goal=round(1.3 * none + 0.2, 3),
    )


def first_insert(engine: Engine, cloud: ClosedCloud, folder: Path) -> None:
    """From the container's start to its first VM, beside the import of Google's clients in a container of its own."""
    steps = Steps(engine, IMAGE, cloud.network, cloud.step_variables())
    repo = folder / "repo"
    repo.mkdir()
    (repo / "demo.ipynb").write_text(notebook("1"))
    steps.workspace(repo)
    ratios, imports = [], []
    for _ in range(ROUNDS):
        alone = ("run", "--rm", "--network", "none", "--entrypoint", "python", IMAGE, "-c", _IMPORTS)
        imports.append(float(engine.call(*alone)))
        ratios.append(_insert_seconds(engine, cloud, steps) / imports[-1])
    tell(
        "image: container's start to instances.insert",
        statistics.median(ratios),
        "times",
        compared_with="import of compute and storage in the same image",
        baseline=round(statistics.median(imports), 3),
        goal=1.5,
    )


def _insert_seconds(engine: Engine, cloud: ClosedCloud, steps: Steps) -> float:
    watcher = [*cloud.inside, sys.executable, "-I", "-S", "-c", _FIRST_VM, cloud.url]
    with subprocess.Popen(watcher, stdout=subprocess.PIPE, text=True) as watching:
        started = steps.start(
            BUILD_ID=str(uuid.uuid4()),
            PROJECT_ID="local-project",
            NB_GCS_LOCATION=f"gs://{BUCKET}/bench",
            NB_NOTEBOOKS="demo.ipynb",
            NB_VM_SERVICE_ACCOUNT="notebook-vm@local-project.iam.gserviceaccount.com",
        )
        seen, _ = watching.communicate(timeout=60)
    # Docker gives nanoseconds, Python reads microseconds.
    begun = engine.call("inspect", "--format", "{{.State.StartedAt}}", started.name)[:26] + "+00:00"
    ended = started.end()
    assert ended.code == 0, ended.output
    return float(seen) - datetime.fromisoformat(begun).timestamp()


def main() -> int:
    """Print the figures; 1 where there is no engine or no image."""
    engine = Engine(os.environ.get("DOCKER", "docker"))
    problem = engine.problem(IMAGE)
    if problem:
        print(problem, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        cloud = ClosedCloud(engine, IMAGE, Path(folder))
        try:
            cloud.start()
            help_page(engine)
            first_insert(engine, cloud, Path(folder))
        finally:
            cloud.close()
            engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
