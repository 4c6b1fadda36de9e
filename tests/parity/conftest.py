"""`pytest tests/parity --golden DIR` checks the model against any recorded set."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# For the harness beside this file, and for the hand-made batches of the model's tests.
sys.path[:0] = [str(HERE), str(HERE.parent / "hero_jax/model")]

import damage  # noqa: E402
from parity_harness import Golden, is_covered  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        "--golden",
        metavar="DIR",
        default=None,
        help="a folder laid out like tests/golden (the default)",
    )
    for name, what in {"leaves": "file", "per-array": "array"}.items():
        parser.addoption(
            f"--{name}",
            metavar="N",
            type=int,
            default=None,
            help=f"with test_damage.py -m slow: at most N values of each {what}",
        )


def golden_of(config) -> Golden:
    # Without this folder on the command line its options are not registered.
    chosen = config.getoption("golden", None)
    return Golden(Path(chosen) if chosen else HERE.parent / "golden")


def pytest_generate_tests(metafunc):
    """One test for each covered case that the set holds."""
    found = golden_of(metafunc.config)
    if "case_name" in metafunc.fixturenames:
        metafunc.parametrize("case_name", filter(is_covered, found.names()))
    for fixture, folder in {"optim_case": "optim", "e2e_case": "data/e2e"}.items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, cases_of(found, folder))
    if "recorded_file" in metafunc.fixturenames:
        folder = FOLDERS.get(metafunc.module.__name__.split(".")[-1], "")
        files = (f for f in damage.files(found.root) if f.startswith(folder))
        metafunc.parametrize("recorded_file", files)


def cases_of(golden: Golden, folder: str) -> list[str]:
    import e2e_cases
    import optim_cases

    return {"optim": optim_cases, "data/e2e": e2e_cases}[folder].names(golden)


FOLDERS = {
    "test_convert_db": "data/db",
    "test_data": "data/expected",
    "test_e2e": "data/e2e",
    "test_eval": "eval",
    "test_model": "model",
    "test_lists_and_durations_are_those_of_the_databases": "data/db",
    "test_optim": "optim",
    "test_raw_annotations_hold_what_the_databases_hold": "data/raw",
}
"""Module or test -> what it reads; a set may hold fewer kinds of cases."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    root = golden_of(item.config).root
    for name in (item.path.stem, getattr(item, "originalname", item.name)):
        if name in FOLDERS and not (root / FOLDERS[name]).is_dir():
            pytest.skip(f"{root} has no {FOLDERS[name]}")


@pytest.fixture(scope="session")
def golden(request) -> Golden:
    return golden_of(request.config)
