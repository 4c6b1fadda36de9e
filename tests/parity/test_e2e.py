"""Every recorded evaluation, from databases to metrics, and that the check can fail."""

import e2e_cases
import noticing


def test_every_recorded_evaluation_is_handled(golden):
    names = e2e_cases.names(golden)
    assert not [name for name in names if not e2e_cases.handler(name)]


def test_it_ends_as_recorded(golden, e2e_case):
    found = e2e_cases.measured(*e2e_cases.run(golden, e2e_case))
    assert found
    assert not [str(one) for one in found if one.is_off]


def test_one_wrong_value_is_noticed(golden, recorded_file):
    leaves = noticing.some(golden.root, recorded_file, 5, needs_model=False)
    assert noticing.unnoticed(golden.root, leaves) == []
