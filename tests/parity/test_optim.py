"""Schedules, AdamW, parameter groups and whole trajectories of the official code."""

import zlib

import jax
import numpy as np
import optim_cases
import pytest
from parity_harness import Case

from hero_jax import optimizer, pretrained
from hero_jax.model.hero import HeroConfig
from hero_jax.paths import named_leaves


def test_every_recorded_case_is_handled(golden):
    names = optim_cases.names(golden)
    assert names
    assert not [name for name in names if not optim_cases.handler(name)]


def test_it_goes_as_recorded(golden, optim_case):
    found = optim_cases.measured(*optim_cases.run(golden, optim_case))
    assert found
    assert not [str(one) for one in found if one.is_off]


@pytest.mark.slow
def test_in_64_bits_it_goes_as_recorded(golden, optim_case):
    with jax.enable_x64(True):
        found = optim_cases.measured(*optim_cases.run(golden, optim_case, "float64"))
    assert not [str(one) for one in found if one.is_off]


def test_one_wrong_value_is_noticed(golden, optim_case):
    """In every tenth entry, and in the first of each kind, one value by chance."""
    expected, ours = optim_cases.run(golden, optim_case)
    rng = np.random.default_rng(zlib.crc32(optim_case.encode()))
    firsts = {name.split("/")[0]: name for name in reversed(expected)}
    for name in {*firsts.values(), *[*expected][::10]}:
        value = np.array(expected[name], np.float64)
        place = tuple(rng.integers(value.shape))
        value[place] += 0.01 * max(np.abs(value).max(), 1e-3)
        found = optim_cases.measured(expected | {name: value}, ours)
        assert [one.name for one in found if one.is_off] == [name]


def test_wide_and_narrow_recordings_of_a_case_agree(golden, optim_case):
    """So that a wrong value of the 64-bit recording is noticed, too."""
    case = optim_cases.read(golden, optim_case)
    assert_agree(case)
    for name in case.under("out64/"):
        wide = np.array(case.arrays[f"out64/{name}"])
        wide.flat[-1] += 0.01 * max(np.abs(wide).max(), 1e-3)
        with pytest.raises(AssertionError, match=name):
            assert_agree(Case("", {}, {**case.arrays, f"out64/{name}": wide}))


def assert_agree(case):
    for name, wide in case.under("out64/").items():
        narrow = case.arrays[f"out/{name}"]
        limit = 1e-4 * max(np.abs(wide).max(), 1e-3)
        assert np.abs(narrow - wide).max() <= limit, name


def test_every_parameter_of_ours_is_in_a_group(golden):
    tasks = optim_cases.read(golden, "param_groups").meta["groups"].values()
    known = {name for groups in tasks for group in groups for name in group["params"]}
    ours = set(optim_cases.official_view(optimizer.is_decayed)) - {pretrained.TIED}
    layers = lambda names: {optim_cases.any_layer(name) for name in names}
    assert layers(ours) <= layers(known)
    assert named_leaves(pretrained.hero_shapes(HeroConfig()))
