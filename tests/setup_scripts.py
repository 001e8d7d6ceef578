"""The scripts of setup/, as tests run them.

Without gcloud, or with one that records its calls and gives planned answers.
"""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.gcloud_commands import ROOT
from tests.patience import PATIENCE

NAMES = ("--project", "my-project", "--region", "us-central1", "--bucket", "my-project-notebooks")
_GCLOUD = """#!/bin/bash
printf '%q ' gcloud "$@" >>"$CALLS"; echo >>"$CALLS"
while IFS=$'\\t' read -r pattern file; do
  if [[ "$*" == $pattern ]]; then
    [[ $file == *.answer ]] || { cat "$file" >&2; exit 1; }
    cat "$file"
    exit
  fi
done <"$ANSWERS"
[[ "$*" != *" describe "* || "$*" == "projects "* ]]
"""


@dataclass
class FakeGcloud:
    """A folder for PATH.

    Its gcloud answers by the first matching glob; other calls succeed, but `describe` finds nothing. Its `sleep`
    returns at once.
    """

    folder: Path
    answers: list[tuple[str, str, bool]] = field(default_factory=list)

    def answer(self, pattern: str, text: str, *, refused: bool = False) -> None:
        """Plan an answer for the calls whose arguments match a glob of bash."""
        self.answers.append((pattern, text, refused))

    def calls(self) -> list[str]:
        """Return the commands so far, without quotes."""
        return [" ".join(call) for call in self.arguments()]

    def arguments(self) -> list[list[str]]:
        """Return the words of each command so far."""
        file = self.folder / "calls"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [shlex.split(line) for line in lines]

    def environment(self) -> Mapping[str, str]:
        """Write the programs, and return the variables that find them."""
        programs = self.folder / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        for name, text in (("gcloud", _GCLOUD), ("sleep", '#!/bin/bash\necho sleep >>"$CALLS"\n')):
            (programs / name).write_text(text, encoding="utf-8")
            (programs / name).chmod(0o755)
        lines = []
        for number, (pattern, text, refused) in enumerate(self.answers):
            file = self.folder / f"{number}{'.refused' if refused else '.answer'}"
            file.write_text(text, encoding="utf-8")
            lines.append(f"{pattern}\t{file}\n")
        (self.folder / "answers").write_text("".join(lines), encoding="utf-8")
        return {
            "PATH": f"{programs}:/usr/bin:/bin",
            "CALLS": str(self.folder / "calls"),
            "ANSWERS": str(self.folder / "answers"),
        }


def run(
    script: str, *arguments: str, gcloud: FakeGcloud | None = None, answers: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a script of setup/. Without `gcloud` a call of gcloud fails; `answers` is the file for its questions."""
    environment = gcloud.environment() if gcloud else {"PATH": "/usr/bin:/bin", "CLOUDSDK_CONFIG": os.devnull}
    with tempfile.TemporaryFile("w+") as answers_file:
        answers_file.write(answers)
        answers_file.seek(0)
        return subprocess.run(
            [str(ROOT / "setup" / script), *arguments],
            env=environment,
            stdin=answers_file,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )


@functools.cache
def commands(script: str, *arguments: str) -> tuple[str, ...]:
    """Return the commands that a dry run prints."""
    done = run(script, *NAMES, *arguments, "--dry-run")
    assert done.returncode == 0, done.stderr
    return tuple(line for line in done.stdout.splitlines() if not line.startswith("#"))
