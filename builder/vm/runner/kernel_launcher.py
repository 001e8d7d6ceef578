"""Starts an IPython kernel on the image's own Python: the image's packages first, the kit's kernel tree last.

Some packages of the kit come first if the runner says so, and all of them if the kernel fails otherwise. It runs with
the image's packages, so it imports nothing of the kit before the path is set.
"""

import importlib.util
import json
import os
import re
import site
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

# The packages of the kit that come before the image's, separated by spaces, or `ALL`.
KIT_FIRST = "NB_KIT_FIRST"
ALL = "*"
INDEX = "kernel.json"
KIT = Path(__file__).resolve().parents[3]


class KitFinder:
    """Finds some packages of the kit, and their metadata, before Python searches its path."""

    def __init__(self, packages: Iterable[str], index: Path, tree: Sequence[str]) -> None:
        index_of_kit = json.loads(index.read_text(encoding="utf-8"))
        self.packages, self.tree = list(packages), list(tree)
        self.modules = {module for package in self.packages for module in index_of_kit[package]["modules"]}

    def find_spec(self, name: str, path: object = None, target: Any = None) -> ModuleSpec | None:
        """Find a module for `import`."""
        return (
            PathFinder.find_spec(name, self.tree, target) if path is None and name in self.modules else None
        )

    def find_distributions(self, context: Any) -> Iterator[Any]:
        """Find packages for `importlib.metadata`, which is imported when it is first used."""
        from importlib.metadata import DistributionFinder, MetadataPathFinder

        asked = re.sub(r"[-_.]+", "-", context.name or "").lower()
        for name in self.packages if "path" not in vars(context) else ():
            if asked in {"", name}:
                yield from MetadataPathFinder.find_distributions(
                    DistributionFinder.Context(name=name, path=self.tree)
                )


def of_distribution(folder: str) -> bool:
    """Return True if the folder is the distribution's: dist-packages of Debian and Ubuntu, except below local/."""
    parts = Path(folder).parts
    return parts[-1:] == ("dist-packages",) and parts[-4:-3] != ("local",)


def set_path(first: str) -> None:
    """Remove our own folder from the path.

    Put the notebook's packages before the distribution's, and the kernel tree last or first.
    """
    here = Path(__file__).resolve().parent
    tree = [str(KIT / "kernel"), str(KIT / "kernel.zip")]
    path = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    sys.path[:] = path
    overlay = KIT.parent / "overlay"
    if overlay.is_dir():
        site.addsitedir(str(overlay))  # appends it, and the folders in its .pth files
        shipped = next((at for at, entry in enumerate(path) if of_distribution(entry)), len(path))
        sys.path[:] = path[:shipped] + sys.path[len(path) :] + path[shipped:]
    sys.path[:] = tree + sys.path if first == ALL else sys.path + tree
    if first not in {"", ALL}:
        sys.meta_path.insert(0, KitFinder(first.split(), KIT / INDEX, tree))


def share_path(first: str) -> None:
    """Let every child on this Python find the same packages. A worker process does not inherit our `sys.path`.

    Other Pythons, such as those of the image's tools, are not touched: children/sitecustomize.py compares the prefix.
    """
    os.environ["NB_KERNEL_PYTHON"] = f"{sys.version_info[0]}.{sys.version_info[1]}:{sys.prefix}"
    os.environ["NB_KERNEL_FIRST"] = first
    own = str(Path(__file__).resolve().with_name("children"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (own, os.environ.get("PYTHONPATH"))))


def watch(shell: Any) -> None:
    """Notice the failures that Jupyter lets pass.

    Our folder is not on the path, so the module is loaded by its file.
    """
    spec = importlib.util.spec_from_file_location(
        "kernel_notices", Path(__file__).with_name("kernel_notices.py")
    )
    try:
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        module.Notices(shell).install()
    except Exception as error:  # noqa: BLE001 - an unknown IPython must not cost the notebook its kernel
        text = f"failures that Jupyter lets pass are not noticed here ({type(error).__name__}: {error})\n"
        sys.__stderr__.write(text)  # type: ignore[union-attr]


def lose_no_output(app: Any) -> None:
    """Have the kernel wait where ZeroMQ would discard output, and the notices above with it.

    A PUB socket discards what its reader has not taken, from 1,000 waiting messages on.
    """
    make = app.init_iopub

    def init_iopub(context: Any) -> None:
        import zmq

        context.setsockopt(zmq.XPUB_NODROP, 1)  # of the sockets made from here on, if they know it
        make(context)

    app.init_iopub = init_iopub


def main() -> None:
    """Start the kernel. If the image's packages do not fit ipykernel, start it again with the kit's packages first."""
    first = os.environ.pop(KIT_FIRST, "")
    set_path(first)
    try:
        from ipykernel.kernelapp import IPKernelApp
    except Exception as error:
        # Any exception: an old package can raise different ones.
        if first == ALL:
            raise
        why = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"the image's packages do not fit the kernel ({why}); using the kit's own first\n")
        os.environ[KIT_FIRST] = ALL
        os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - our own command line once more
    share_path(first)
    app: Any = IPKernelApp.instance()
    lose_no_output(app)
    app.initialize()
    watch(app.shell)
    app.start()


if __name__ == "__main__":
    main()
