"""Official dataset items and batches are rebuilt from the recorded databases."""

from pathlib import Path

import data_cases
import noticing
import pytest
from data_cases import DEFAULT_GOLDEN, Golden, Recorded, check, rebuild


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--golden", None)
        metafunc.parametrize("case", data_cases.names(Path(chosen or DEFAULT_GOLDEN)))


@pytest.fixture
def recording(request):
    return Golden(Path(request.config.getoption("--golden", None) or DEFAULT_GOLDEN))


def test_a_case_is_rebuilt_from_the_recorded_databases(recording, case):
    arrays, facts = rebuild(recording, case)
    check(Recorded.of(recording, case), arrays, facts)


def test_one_wrong_value_is_noticed(golden, recorded_file):
    leaves = noticing.some(golden.root, recorded_file, 3, needs_model=False)
    assert noticing.unnoticed(golden.root, leaves) == []
