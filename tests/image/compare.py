"""Says where two images differ: paths, kinds, modes, owners, contents and settings; exit code 1 where they do.

`python -m tests.image.compare IMAGE IMAGE`, with DOCKER naming the client. Times are not compared: an old engine
gives the folders that it makes the time of the build.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from tests.image.saved_image import saved


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> Iterator[str]:
    """Yield a line for each name that stands for different things in the two, or is in one of them only."""
    for name in sorted(one.keys() | other.keys()):
        if name not in other:
            yield f"only in the first: {name}"
        elif name not in one:
            yield f"only in the second: {name}"
        elif one[name] != other[name]:
            yield f"differs: {name}: {one[name]} and {other[name]}"


def main(arguments: list[str]) -> int:
    """Print the differences between the two images named; return the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: compare.py IMAGE IMAGE\n")
        return 2
    found: list[str] = []
    with saved(arguments[0]) as one, saved(arguments[1]) as other:
        found += differences(one.settings(), other.settings())
        files = one.files()
        found += differences(files, other.files())
    for line in found:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{len(files)} paths compared, {len(found)} differences\n")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
