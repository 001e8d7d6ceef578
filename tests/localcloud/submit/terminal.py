"""The command `submit`, and folders to submit."""

import os
import subprocess
import sys
from pathlib import Path

from localcloud.cloud import Cloud
from tests.patience import PATIENCE

COMMAND = [sys.executable, "-m", "localcloud", "submit"]
ROOT = Path(__file__).parents[3]
LOOKING = ("LOCALCLOUD_URL", "COLUMNS")


def environment(**more: str) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if key not in LOOKING}
    return {**own, "PYTHONPATH": str(ROOT), **more}


def submit(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def built(folder: Path, script: str, more: str = "") -> Path:
    lines = "".join(f"    {line}\n" for line in script.splitlines())
    (folder / "cloudbuild.yaml").write_text(f"steps:\n- name: bash\n  script: |\n{lines}{more}")
    return folder


def builds(cloud: Cloud) -> list[str]:
    return [build["status"] for build in cloud.inventory()["builds"]]
