"""Parity with recorded official numbers: `pytest tests/parity --golden DIR`."""

from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--golden", default=None, help="folder of a recorded set")


@pytest.fixture(scope="session")
def golden(request) -> Path:
    """The recorded set to compare with; by default the one in tests/golden."""
    chosen = request.config.getoption("--golden")
    return Path(chosen or Path(__file__).resolve().parents[1] / "golden")
