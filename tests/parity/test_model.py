"""Every recorded case of the official model, and that the check can fail."""

from parity_cases import run
from parity_harness import is_covered, is_not_yet_covered, mismatches


def test_the_set_holds_cases_and_each_is_known(golden):
    names = golden.names()
    assert any(map(is_covered, names)), f"no cases in {golden.root / 'model'}"
    unknown = [n for n in names if not (is_covered(n) or is_not_yet_covered(n))]
    assert not unknown, f"no handler for {unknown}"


def test_outputs_and_gradients_are_the_official_ones(golden, case_name):
    found = mismatches(golden.case(case_name), run(golden, case_name))
    assert not found, "\n".join(found)
