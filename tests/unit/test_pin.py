"""`make pin` writes digests, and a build on tags says so. A program in place of Docker answers for the registry."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = """#!/bin/sh
[ "$1 $2 $3" = "buildx imagetools inspect" ] || exit 2
[ -z "$DOWN" ] || exit 1
printf 'sha256:%s\\n' "$(printf %s "$6$TURN" | sha256sum | cut -d ' ' -f 1)"
"""
PINNED = re.compile(r"[^@]+@sha256:[0-9a-f]{64}")


def pin(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    engine = folder / "engine"
    engine.write_text(REGISTRY)
    engine.chmod(0o755)
    given = {"PATH": os.environ["PATH"], "DOCKER": str(engine), "DOWN": "", "TURN": "", **env}
    return subprocess.run(
        [folder / "docker" / "pin.sh"], env=given, capture_output=True, text=True, check=False
    )


def copied(folder: Path) -> Path:
    (folder / "docker").mkdir()
    for name in ("docker/pin.sh", "Dockerfile", "cloudbuild.yaml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def trusted(folder: Path) -> list[str]:
    """Every image that the build starts from or runs, apart from its own."""
    bases = re.findall(r"^ARG BASE\w*=(.*)$", (folder / "Dockerfile").read_text(), re.MULTILINE)
    build = yaml.safe_load((folder / "cloudbuild.yaml").read_text())
    steps = {step["name"].strip("${}") for step in build["steps"] if not step["name"].startswith("${_IMAGE}")}
    given = {name for name in build["substitutions"] if name.startswith("_BASE")} | steps
    return bases + [build["substitutions"][name] for name in sorted(given)]


def test_every_image_that_the_build_trusts_gets_its_digest(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    before = [name.partition("@")[0] for name in trusted(folder)]
    assert pin(folder).returncode == 0
    first = trusted(folder)
    assert all(map(PINNED.fullmatch, first))
    assert pin(folder, TURN="2").returncode == 0
    second = trusted(folder)
    assert all(map(PINNED.fullmatch, second))
    assert not set(first) & set(second)
    assert [name.partition("@")[0] for name in second] == before


def test_without_a_registry_no_file_changes(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    before = (folder / "Dockerfile").read_text() + (folder / "cloudbuild.yaml").read_text()
    ran = pin(folder, DOWN="1")
    assert ran.returncode == 1
    assert "registry does not answer. No file was changed." in ran.stderr
    assert (folder / "Dockerfile").read_text() + (folder / "cloudbuild.yaml").read_text() == before


def commands(script: str) -> list[list[str]]:
    """The simple commands of a shell script, as words."""
    joined = re.sub(r"\\\n\s*", " ", script)
    parts = (part for line in joined.splitlines() for part in line.split(" && "))
    return [shlex.split(part, comments=True) for part in parts if part.strip()]


def test_the_published_image_has_no_layer_that_another_build_pushed() -> None:
    """docker takes layers of a registry only if an option names it, or if a base is such an image."""
    build = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
    (step,) = (step for step in build["steps"] if step["id"] == "build")
    (made,) = (words for words in commands(step["script"]) if words[:2] == ["docker", "build"])
    options = {word for word in made if word.startswith("--")}
    assert options == {"--build-arg", "--tag"}
    pairs = pairwise(made)
    names = {value.partition("=")[0] for option, value in pairs if option == "--build-arg"}
    bases = {name for name in names if name.startswith("BASE")}
    assert names == {*bases, "VERSION", "REVISION", "SOURCE"}
    assert not [step["id"] for step in build["steps"] if "pull" in step.get("args", ())]
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    own = {name for _, name in stages} | {"scratch"} | {f"${{{name}}}" for name in bases}
    assert {base for base, _ in stages} <= own


def installs() -> list[list[str]]:
    """Each command of the Dockerfile that installs packages, from the word `pip` on."""
    found = commands((ROOT / "Dockerfile").read_text())
    return [words[words.index("install") - 1 :] for words in found if "install" in words]


def test_every_install_of_the_image_needs_hashes() -> None:
    assert len(installs()) == 2
    for words in installs():
        assert {"--require-hashes", "--no-deps"} <= set(words), words
        assert words[words.index("--only-binary") + 1] == ":all:"


def wheel(folder: Path, content: str) -> str:
    """Write a wheel with one module into a folder; returns its SHA-256."""
    path = folder / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo.py", content)
        archive.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr(
            "demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("words", installs(), ids=["packages", "parts"])
def test_a_wheel_with_another_hash_is_not_installed(tmp_path: Path, words: list[str]) -> None:
    """The Dockerfile's own command, with a folder of wheels in place of the index."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"demo==1.0 --hash=sha256:{wheel(tmp_path, 'right = True')}\n")
    command = [sys.executable, "-m", "pip", *words[1:]]
    command[command.index("--requirement") + 1] = str(requirements)
    target = tmp_path / "target"
    command += ["--target", str(target)]
    env = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}

    def install() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = install()
    assert (done.returncode, (target / "demo.py").is_file()) == (0, True), done.stderr
    shutil.rmtree(target)
    wheel(tmp_path, "right = False")
    done = install()
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not target.exists()


def test_a_build_on_tags_says_so(tmp_path: Path) -> None:
    build = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
    (step,) = (step for step in build["steps"] if step["id"] == "build")
    engine = tmp_path / "docker"
    engine.write_text('#!/bin/sh\necho "$@" > built\n')
    engine.chmod(0o755)
    (tmp_path / "pyproject.toml").write_text('version = "1.0"\n')
    script = tmp_path / "step"
    script.write_text(step["script"])
    script.chmod(0o755)
    names = [line.partition("=")[0] for line in step["env"]]
    for digest, says in (("", True), ("@sha256:" + "0" * 64, False)):
        env = dict.fromkeys(names, "x") | {
            name: f"{name.lower()}:1{digest}" for name in names if name.startswith("BASE")
        }
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        ran = subprocess.run(
            [script], cwd=tmp_path, env=env | path, capture_output=True, text=True, check=True
        )
        assert ("make pin" in ran.stderr) == says
        assert "base_315:1" in (tmp_path / "built").read_text()
