"""Machine images with packages that a test brings."""

from __future__ import annotations

import shutil
from pathlib import Path

from localcloud.engines.vm import images


def prefix_with(packages: Path, base: str = images.DEFAULT) -> Path:
    """Like the image `base`, with the contents of the folder `packages` as its site-packages."""
    parts = [base.encode()]
    for file in sorted(path for path in packages.rglob("*") if path.is_file()):
        parts += [str(file.relative_to(packages)).encode(), file.read_bytes()]

    def make(target: Path) -> None:
        shutil.copytree(packages, images._probe(target), dirs_exist_ok=True)

    recipe = images._Recipe(make, base, (*parts, images.prefix(base).name.encode()))
    return images._kept("custom", recipe)
