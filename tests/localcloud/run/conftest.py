"""The world of the functions' tests: services are what functions have."""

from tests.localcloud.functions.conftest import start, world

__all__ = ["start", "world"]
