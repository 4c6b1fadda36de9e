"""Every recorded evaluation, from databases to metrics, and that the check can fail."""

import copy

import e2e_cases
import numpy as np


def test_every_recorded_evaluation_is_handled(golden):
    names = e2e_cases.names(golden)
    assert not [name for name in names if not e2e_cases.handler(name)]


def test_it_ends_as_recorded(golden, e2e_case):
    found = e2e_cases.measured(*e2e_cases.run(golden, e2e_case))
    assert found
    assert not [str(one) for one in found if one.is_off]


def test_one_wrong_value_is_noticed(golden, e2e_case):
    expected, ours = e2e_cases.run(golden, e2e_case)
    for key, value in expected.items():
        if np.size(value):
            found = e2e_cases.measured(expected | {key: spoilt(value)}, ours)
            wrong = [one.name.removesuffix(" (masked)") for one in found if one.is_off]
            assert wrong == [key]


def spoilt(value):
    """The same with one value that differs."""
    if isinstance(value, str):
        return value + "!"
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [value[0] + "!", *value[1:]]
    value = np.array(copy.deepcopy(value), np.float64)
    value.flat[-1] += 0.02 * max(1, abs(value.flat[-1]))
    return value
