import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hero_jax import optimizer
from hero_jax.optimizer import OptimizerConfig

PLAIN = OptimizerConfig(learning_rate=0.1, warmup_steps=0, max_grad_norm=1e9)


def constant(rate):
    return lambda step: jnp.asarray(rate)


def test_the_learning_rate_is_the_published_one():  # T.5
    config = OptimizerConfig(learning_rate=1e-4, warmup_steps=500)
    rate = jax.jit(optimizer.make_schedule(config, 5000))
    expected = {
        1: 2e-7, 2: 4e-7, 250: 5e-5, 499: 9.98e-5, 500: 1e-4, 501: 9.99778e-5,
        2750: 5e-5, 4999: 2.2222e-8, 5000: 1e-8, 6000: 1e-8,
    }  # fmt: skip
    for update, value in expected.items():
        np.testing.assert_allclose(rate(update - 1), value, rtol=1e-4)


@pytest.mark.parametrize("kind", ["linear", "cosine", "noam"])
def test_every_schedule_peaks_at_the_end_of_the_warm_up_and_stays_positive(kind):
    config = OptimizerConfig(schedule=kind, learning_rate=3.0, warmup_steps=10)
    rates = jax.vmap(optimizer.make_schedule(config, 40))(jnp.arange(60))
    assert int(rates.argmax()) == 9
    np.testing.assert_allclose(rates[9], 3.0, rtol=1e-6)
    assert (rates > 0).all()


def test_cosine_is_half_way_down_in_the_middle():
    config = OptimizerConfig(schedule="cosine", learning_rate=2.0, warmup_steps=10)
    np.testing.assert_allclose(optimizer.make_schedule(config, 50)(29), 1.0, rtol=1e-5)


def test_two_updates_are_the_published_ones():  # T.6
    params = {"kernel": jnp.array([1.0, -2.0, 0.5])}
    rule = optimizer.official_adamw(PLAIN, constant(0.1))
    # The third gradient is nought, but of the same array: it is decayed all the same.
    expected = {
        (0.1, -0.2, 0.0): [0.89910704, -1.89810359, 0.49950001],
        (0.3, 0.1, 0.0): [0.80687356, -1.86952233, 0.49900052],
    }
    state = rule.init(params)
    for gradient, after in expected.items():
        grads = {"kernel": jnp.array(gradient)}
        updates, state = rule.update(grads, state, params, step=0)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["kernel"], after, atol=2e-7)


def test_a_parameter_that_a_step_does_not_touch_stays_as_it_is():
    params = {"a": jnp.ones(3), "b": jnp.ones(2)}
    rule = optimizer.official_adamw(PLAIN, constant(0.1))
    state = rule.init(params)
    for number in range(3):
        grads = {"a": jnp.ones(3), "b": jnp.full(2, float(number == 1))}
        updates, state = rule.update(grads, state, params, step=number)
        assert (updates["b"] != 0).all() == (number == 1)
    assert state.counts.tolist() == [3, 1]


def test_a_gradient_that_is_computed_and_zero_lets_momentum_and_decay_go_on():  # G5
    used = dataclasses.replace(PLAIN, skips_untouched=False)
    rule = optimizer.official_adamw(used, constant(0.1), correct_bias=False)
    params = {"kernel": jnp.array([1.0, -2.0])}
    # m is 0.02, then 0.018; v is 0.0008, then 0.000784.
    expected = {0.2: [0.92836253, -1.92736253], 0.0: [0.86321503, -1.86121603]}
    state = rule.init(params)
    for gradient, after in expected.items():
        grads = {"kernel": jnp.full(2, gradient) * jnp.array([1.0, -1.0])}
        updates, state = rule.update(grads, state, params, step=0)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["kernel"], after, atol=2e-7)
    assert state.counts.tolist() == [2]


def test_biases_and_gains_are_not_decayed_but_tables_and_one_gain_are():
    names = {
        "hero/cross_modal/layers/inner/kernel": True,
        "hero/cross_modal/layers/inner/bias": False,
        "hero/cross_modal/layers/output/norm/scale": False,
        "hero/text_embedding/word/embedding": True,
        "hero/frame_regression/norm/scale": True,  # H-61
        "hero/word_head/bias": False,
        "heads_vsm/log_scale": False,
    }
    assert {name: optimizer.is_decayed(name) for name in names} == names


def test_heads_can_learn_faster_than_the_encoder():
    config = dataclasses.replace(PLAIN, head_multiplier=10.0, weight_decay=0.0)
    for kind in ("official", "optax"):
        rule = optimizer.make_optimizer(dataclasses.replace(config, kind=kind), 100)
        params = {"hero": {"temporal": jnp.ones(2), "query": jnp.ones(2)}}
        params["heads_mlm"] = jnp.ones(2)
        grads = jax.tree.map(jnp.ones_like, params)
        updates, _ = rule.update(grads, rule.init(params), params, step=0)
        base = updates["hero"]["temporal"]
        np.testing.assert_allclose(updates["heads_mlm"], 10 * base, rtol=1e-5)


def test_optax_decays_what_the_official_rule_decays():
    config = dataclasses.replace(PLAIN, kind="optax", weight_decay=0.5)
    rule = optimizer.make_optimizer(config, 100)
    params = {"kernel": jnp.ones(2), "bias": jnp.ones(2)}
    grads = jax.tree.map(jnp.zeros_like, params)
    updates, _ = rule.update(grads, rule.init(params), params, step=0)
    assert (updates["kernel"] < 0).all()
    assert not updates["bias"].any()


def test_clipping_scales_long_gradients_only():
    clip = optimizer.clip_by_global_norm(1.0)
    long, _ = clip.update({"a": jnp.array([3.0]), "b": jnp.array([4.0])}, None)
    np.testing.assert_allclose(long["a"], 3 / (5 + 1e-6), rtol=1e-6)
    short, _ = clip.update({"a": jnp.array([0.3])}, None)
    np.testing.assert_array_equal(short["a"], jnp.array([0.3]))
