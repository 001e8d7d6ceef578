"""Fixtures of the functions' tests: Cloud Run's services come from functions."""

from tests.localcloud.functions.conftest import cloud_fixture, start

__all__ = ["cloud_fixture", "start"]
