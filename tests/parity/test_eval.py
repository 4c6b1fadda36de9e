"""The official evaluation, from scores to metrics, on every recorded case."""

from pathlib import Path

import noticing
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


def test_one_wrong_value_is_noticed(golden, recorded_file):
    leaves = noticing.some(golden.root, recorded_file, 5, needs_model=False)
    assert noticing.unnoticed(golden.root, leaves) == []
