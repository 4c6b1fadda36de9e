"""The official evaluation, from scores to metrics, on every recorded case."""

import copy
from pathlib import Path

import numpy as np
import pytest
from eval_cases import handler, mismatches, names, read


@pytest.fixture(scope="module")
def root(golden) -> Path:
    return golden.root


def test_every_recorded_evaluation_is_handled(root):
    recorded = names(root)
    assert recorded, f"no cases in {root / 'eval'}"
    unhandled = [name for name in recorded if not handler(name)]
    assert not unhandled, f"no handler for {unhandled}"


def test_every_recorded_evaluation_is_reproduced(root, subtests):
    for name in names(root):
        if run := handler(name):
            with subtests.test(name):
                found = mismatches(*run(read(root, name)))
                assert not found, "\n".join(found)


def test_a_single_wrong_value_is_noticed(root, subtests):
    for name in names(root):
        if run := handler(name):
            expected, ours = run(read(root, name))
            for key in (next(iter(expected)), list(expected)[-1]):
                with subtests.test(f"{name}: {key}"):
                    assert mismatches(expected | {key: _spoilt(expected[key])}, ours)


def _spoilt(value):
    if isinstance(value, str):
        return value + "!"
    value = np.array(copy.deepcopy(value), np.float64)
    value.flat[-1] += 0.01
    return value
