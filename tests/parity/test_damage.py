"""Every value of a recording matters: a copy that differs in one of them fails.

`pytest tests/parity/test_damage.py -m slow` changes every value of every case, one at a
time: hours. --leaves N changes at most N of each file, --per-array N of each array. The
tests of each folder change a few.
"""

import random
import re

import damage
import noticing
import numpy as np
import problems
import pytest


@pytest.mark.slow
def test_every_wrong_value_is_noticed(golden, recorded_file, request):
    per_array, most = (request.config.getoption(f"--{n}", None) for n in OPTIONS)
    leaves = list(damage.leaves(golden.root, recorded_file, per_array))
    leaves = [leaf for leaf in leaves if not problems.reason(golden.root, leaf)]
    random.Random(recorded_file).shuffle(leaves)
    assert noticing.unnoticed(golden.root, leaves[:most]) == []


OPTIONS = ("per-array", "leaves")


@pytest.mark.slow
def test_epsilons_make_the_difference_that_is_recorded(golden):
    for name in (name for name in golden.names() if name.startswith("module_")):
        found = problems.problems_in_64_bits(golden.root, f"model/{name}.json")
        assert list(found) == []


def test_a_copy_differs_in_one_value(golden, tmp_path):
    for number, file in enumerate(damage.files(golden.root)[::40]):
        leaf = list(damage.leaves(golden.root, file, per_array=2))[-1]
        copy = damage.damaged_copy(golden.root, leaf, tmp_path / str(number))
        assert damage.files(copy) == damage.files(golden.root)
        assert list(damage.leaves(copy, file, 2)) == list(
            damage.leaves(golden.root, file, 2)
        )
        changed = [
            name
            for name in damage.files(copy)
            if (copy / name).resolve().is_relative_to(copy)
        ]
        assert changed == [file]


def test_another_value_is_of_the_same_type():
    for value in (True, 3, 0, 1.5, 0.0, 1e-20, "a"):
        assert damage.other(value) != value
        assert type(damage.other(value)) is type(value)
    for array in (np.zeros(3, bool), np.arange(3), np.ones((2, 2), np.float32)):
        other = damage.with_other_element(array, 1)
        assert other.dtype == array.dtype and np.sum(other != array) == 1


def test_every_reason_is_of_some_recorded_value(golden, request):
    if request.config.getoption("--golden", None):
        pytest.skip("other sets may hold fewer cases")
    leaves = [
        str(leaf)
        for file in damage.files(golden.root)
        for leaf in damage.leaves(golden.root, file, per_array=1)
    ]
    unused = [
        pattern
        for pattern in problems.NO_EFFECT
        if not any(re.fullmatch(pattern, leaf) for leaf in leaves)
    ]
    assert not unused
