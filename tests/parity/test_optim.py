"""Schedules, AdamW, parameter groups and whole trajectories of the official code."""

import jax
import noticing
import optim_cases
import pytest

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


def test_one_wrong_value_is_noticed(golden, recorded_file):
    leaves = noticing.some(golden.root, recorded_file, 6, needs_model=False)
    assert noticing.unnoticed(golden.root, leaves) == []


def test_a_case_is_what_it_says(golden, optim_case):
    case = optim_cases.read(golden, optim_case)
    assert list(optim_cases.wrong(golden, case)) == []


def test_every_parameter_of_ours_is_in_a_group(golden):
    tasks = optim_cases.read(golden, "param_groups").meta["groups"].values()
    known = {name for groups in tasks for group in groups for name in group["params"]}
    ours = set(optim_cases.official_view(optimizer.is_decayed)) - {pretrained.TIED}
    layers = lambda names: {optim_cases.any_layer(name) for name in names}
    assert layers(ours) <= layers(known)
    assert named_leaves(pretrained.hero_shapes(HeroConfig()))
