#!/usr/bin/env python3
"""The image's ENTRYPOINT: `entrypoint.py [run|deploy|check|plan|reap|options]`; no command means `run`."""

import contextlib
import os
import sys

from builder.cli import main

if __name__ == "__main__":
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    # All is done and told. Taking Google's largest client apart, object by object, would cost most of a second more.
    os._exit(code)
