from collections import Counter

import pytest

from hero_jax.errors import UserError
from hero_jax.mixture import Mixture


def drawn(mixture, steps):
    return [mixture.at(step)[0] for step in steps]


def test_every_block_holds_each_task_in_proportion():
    mixture = Mixture({"mlm": 1, "vsm": 2, "fom": 0.5}, seed=3)
    for block in range(20):
        names = drawn(mixture, range(7 * block, 7 * block + 7))
        assert Counter(names) == {"mlm": 2, "vsm": 4, "fom": 1}


def test_a_step_knows_how_often_its_task_was_drawn_before():
    mixture = Mixture({"mlm": 2, "vsm": 3}, seed=1)
    names = drawn(mixture, range(64))
    for step, name in enumerate(names):
        assert mixture.at(step) == (name, names[:step].count(name))


def test_any_step_can_be_asked_for_directly():
    mixture = Mixture({"mlm": 1, "vsm": 2}, seed=4)
    name, before = mixture.at(3_000_000_000)
    assert before == {"mlm": 10**9, "vsm": 2 * 10**9}[name] + before % 10**9
    assert mixture.at(5) == Mixture({"mlm": 1, "vsm": 2}, seed=4).at(5)


def test_another_seed_is_another_order_and_one_task_is_always_drawn():
    weights = {"mlm": 1, "vsm": 1}
    orders = {tuple(drawn(Mixture(weights, s), range(40))) for s in range(5)}
    assert len(orders) == 5
    assert Mixture({"vsm": 7}, seed=0).at(12) == ("vsm", 12)


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), 1e-9])
def test_a_weight_that_draws_nothing_is_refused_by_name(weight):
    with pytest.raises(UserError, match="mlm|weights"):
        Mixture({"mlm": weight, "vsm": 1}, seed=0).at(0)
