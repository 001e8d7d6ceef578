"""The paths of functions in the state directory: `functions/NAME/log.txt`, and per region archives and revisions."""

from __future__ import annotations

import shutil
from pathlib import Path


class Layout:
    """Paths by a function's full name. Functions of one name in several regions share the log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def records(self) -> Path:
        """The file of the kept state; no function can have its name."""
        return self.folder / "functions.json"

    @property
    def uploads(self) -> Path:
        """The folder of uploaded archives."""
        return self.folder / ".uploads"

    def log(self, name: str) -> Path:
        """The log of a function's output and of Cloud Run's messages about its requests. Its folder is made."""
        folder = self.folder / name.rpartition("/")[2]
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "log.txt"

    def archive(self, name: str, generation: int) -> Path:
        """The source archive of one build."""
        return self._region(name) / f"{generation}.zip"

    def source(self, name: str, revision: str) -> Path:
        """The unpacked source of a revision."""
        return self._region(name) / revision / "source"

    def tidy(self, name: str, archive: Path | None, revision: str) -> None:
        """Remove the files of a function's builds, except the serving one's."""
        region = self._region(name)
        for path in region.iterdir() if region.is_dir() else ():
            if path.is_dir() and path.name != revision:
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_file() and path != archive:
                path.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove everything of a function but its log."""
        shutil.rmtree(self._region(name), ignore_errors=True)

    def _region(self, name: str) -> Path:
        _, _, _, location, _, short = name.split("/")
        return self.folder / short / location
