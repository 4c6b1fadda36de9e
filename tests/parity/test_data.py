"""Official dataset items and batches are rebuilt from the recorded databases."""

from pathlib import Path

import data_cases
import pytest
from data_cases import DEFAULT_GOLDEN, SETTINGS, Golden, Recorded, check, rebuild


def corrupted(recorded):
    """Copies of a recording, each with one value that differs."""
    for name, array in recorded.arrays.items():
        if array.size:
            changed, middle = array.copy(), array.size // 2
            value = changed.flat[middle]
            changed.flat[middle] = not value if array.dtype == bool else value + 1
            yield Recorded(recorded.arrays | {name: changed}, recorded.facts)
    for name in set(recorded.facts) - SETTINGS:
        yield Recorded(recorded.arrays, recorded.facts | {name: "something else"})


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


def test_one_wrong_value_in_a_case_is_noticed(recording, case):
    arrays, facts = rebuild(recording, case)
    for wrong in corrupted(Recorded.of(recording, case)):
        with pytest.raises(AssertionError):
            check(wrong, arrays, facts)


def test_shapes_and_types_are_as_each_case_says(recording, case):
    recorded = Recorded.of(recording, case)
    if keys := recorded.facts.get("keys"):
        found = {k: [list(a.shape), a.dtype.name] for k, a in recorded.arrays.items()}
        assert found == keys
