"""Prints an image's layers with their sizes, as a JSON line each, and fails where ours are larger than we promise.

`python -m tests.image.sizes IMAGE BASE`, with DOCKER naming the client. Compressed is gzip at level 6, about what a
registry keeps and a pull transfers.
"""

from __future__ import annotations

import json
import sys

from tests.image.saved_image import Layer, saved

KIT_LIMIT = 135_000_000
OTHERS_LIMIT = 45_000_000


def ours(layers: list[Layer], base: list[Layer]) -> tuple[list[Layer], list[Layer]]:
    """Return the layers above the base's: the kit's, and the others."""
    above = layers[len(base) :]
    kit = [layer for layer in above if "/kit" in layer.made_by]
    return kit, [layer for layer in above if layer not in kit]


def main(arguments: list[str]) -> int:
    """Print the sizes of the image named first, built on the one named second; return the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: sizes.py IMAGE BASE\n")
        return 2
    with saved(arguments[0]) as image, saved(arguments[1]) as base:
        layers, below = list(image.layers()), list(base.layers())
    for layer in layers:
        sys.stdout.write(
            json.dumps({"layer": layer.made_by, "bytes": layer.size, "gz": layer.compressed}) + "\n"
        )
    kit, others = (sum(layer.compressed for layer in part) for part in ours(layers, below))
    total = {"base_gz": sum(layer.compressed for layer in below), "kit_gz": kit, "others_gz": others}
    sys.stdout.write(json.dumps(total) + "\n")
    return 0 if kit <= KIT_LIMIT and others <= OTHERS_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
