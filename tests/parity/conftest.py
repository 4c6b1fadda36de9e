"""`pytest tests/parity --golden DIR` checks the model against any recorded set."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# For the harness beside this file, and for the hand-made batches of the model's tests.
sys.path[:0] = [str(HERE), str(HERE.parent / "hero_jax/model")]

from parity_harness import Golden, is_covered  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        "--golden",
        metavar="DIR",
        default=None,
        help="a folder laid out like tests/golden (the default)",
    )


def golden_of(config) -> Golden:
    # Without this folder on the command line its options are not registered.
    chosen = config.getoption("golden", None)
    return Golden(Path(chosen) if chosen else HERE.parent / "golden")


def pytest_generate_tests(metafunc):
    """One test for each covered case that the set holds."""
    if "case_name" in metafunc.fixturenames:
        names = [n for n in golden_of(metafunc.config).names() if is_covered(n)]
        metafunc.parametrize("case_name", names)


@pytest.fixture(scope="session")
def golden(request) -> Golden:
    return golden_of(request.config)
