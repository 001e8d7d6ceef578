#!/usr/bin/env python3
"""The image's ENTRYPOINT: `entrypoint.py [run|deploy|check|plan|comment|reap|options]`; no command means `run`."""

import contextlib
import gc
import os
import sys

# Google's libraries make some 150,000 objects that stay; collecting garbage meanwhile takes a fifth of the start.
gc.set_threshold(100_000, 50, 50)

from builder.cli import main  # noqa: E402

if __name__ == "__main__":
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    # All is done and told. Taking Google's largest client apart, object by object, would cost most of a second more.
    os._exit(code)
