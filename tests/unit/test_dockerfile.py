"""The image's stages have the files that they build from; `make image` itself needs an engine."""

from __future__ import annotations

import ast
import io
import re
import zipfile
from pathlib import Path, PurePosixPath

from builder.deploy.function_source import BUILD_ONLY, function_source
from builder.kit.build import OWN

DOCKERFILE = Path(__file__).resolve().parents[2] / "Dockerfile"


def test_the_stage_of_the_kits_has_every_file_that_goes_into_one() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    copies = re.findall(r"^COPY (?!--)(.+) /source/builder\S*$", text, re.MULTILINE)
    copied = {PurePosixPath(source) for line in copies for source in line.split()}
    needed = {PurePosixPath("builder", name) for name in OWN}
    assert {path for path in needed if not copied & {path, *path.parents}} == set()


def test_modules_that_only_build_the_kit_are_neither_in_the_image_nor_in_the_function() -> None:
    removed = re.search(r"^RUN rm (.+) \\$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert removed is not None
    assert set(removed[1].split()) == BUILD_ONLY
    with zipfile.ZipFile(io.BytesIO(function_source().zip)) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
    assert not BUILD_ONLY & packed.keys()
    left_out = {name.removesuffix(".py").replace("/", ".") for name in BUILD_ONLY}
    for name, source in packed.items():
        imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
        assert not imported & left_out, name
