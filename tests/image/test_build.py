"""A user's cloudbuild.yaml, as it stands, runs the image as a step of the local Cloud Build."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.image.closed_cloud import BUCKET, ROOT, ClosedCloud
from tests.image.engine import Engine

NAME = "us-central1-docker.pkg.dev/local-project/notebook-builder/notebook-builder:0.1"


def test_example_build_succeeds(engine: Engine, image: str, cloud: ClosedCloud, tmp_path: Path) -> None:
    engine.tag(image, NAME)
    state = tmp_path / "state"
    submitted = cloud.run_inside(
        *("submit", "--runner", "docker", "--docker-network", cloud.network, "--state", str(state)),
        str(ROOT / "examples/bike-share"),
        stderr=subprocess.STDOUT,
    )
    output, _ = submitted.communicate(timeout=110)
    assert submitted.returncode == 0, output
    assert f"Already have image: {NAME}" in output
    assert "GREEN" in output
    vm = re.search(r"VM (nb-\S+) runs in", output)
    assert vm, output
    assert f"VM {vm[1]} deleted" in output
    location = state / "storage" / BUCKET / "bike-share"
    (summary,) = location.glob("results/*/summary.json")
    assert json.loads(summary.read_text())["verdict"] == "green"
    assert list(summary.parent.glob("demo/outputs/stations.csv"))
    assert list(location.glob("open/**/*.json")) == []
