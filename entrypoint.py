#!/usr/bin/env python3
"""The image's ENTRYPOINT: `entrypoint.py [run|deploy|check|plan|reap|options]`; no command means `run`."""

import sys

from builder.cli import main

if __name__ == "__main__":
    sys.exit(main())
