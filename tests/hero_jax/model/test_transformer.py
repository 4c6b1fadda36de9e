import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model.layers import Numerics
from hero_jax.model.transformer import Transformer, TransformerConfig, attention_bias

CONFIG = TransformerConfig(width=6, num_heads=3, num_layers=2, mlp_width=8)
X = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
SEGMENT = np.array([[1, 1, 2, 2, 0], [1, 1, 1, 0, 0]])


def test_slots_see_their_own_segment_and_padding_sees_padding():
    bias = attention_bias(np.array([[1, 1, 2, 0]]), Numerics())[0, 0]
    sees = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert np.array_equal(bias == 0, np.array(sees, bool))
    assert np.all(np.isfinite(bias))


def test_officially_every_slot_sees_all_that_is_real():
    bias = attention_bias(np.array([[1, 1, 0]]), Numerics(official=True))
    assert np.array_equal(bias, [[[[0, 0, -1e4]]]])


def test_no_layers_hand_the_input_through():
    config = dataclasses.replace(CONFIG, num_layers=0)
    tower = Transformer(config, Numerics())
    params = tower.init(jax.random.key(0), X, SEGMENT, train=False)
    assert params == {}
    assert np.array_equal(tower.apply(params, X, SEGMENT, train=False), X)


def test_the_parameters_of_all_layers_are_stacked():
    tower = Transformer(CONFIG, Numerics())
    start = lambda k: tower.init(k, X, SEGMENT, train=False)
    shapes = jax.eval_shape(start, jax.random.key(0))["params"]["layers"]
    assert shapes["inner"]["kernel"].shape == (2, 6, 8)
    assert shapes["attention"]["output"]["norm"]["scale"].shape == (2, 6)


def test_layers_start_differently_and_drop_differently():
    tower = Transformer(dataclasses.replace(CONFIG, dropout=0.5), Numerics())

    @jax.jit
    def start_and_drop(key):
        params = tower.init(jax.random.key(0), X, SEGMENT, train=False)
        rngs = {"dropout": key}
        return params, tower.apply(params, X, SEGMENT, train=True, rngs=rngs)

    params, first = start_and_drop(jax.random.key(0))
    kernel = params["params"]["layers"]["inner"]["kernel"]
    assert not np.allclose(kernel[0], kernel[1])
    assert np.array_equal(start_and_drop(jax.random.key(0))[1], first)
    assert not np.allclose(start_and_drop(jax.random.key(1))[1], first)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_output_has_the_type_that_is_computed_in(dtype):
    tower = Transformer(CONFIG, Numerics(dtype))
    start = lambda k: tower.init_with_output(k, X, SEGMENT, train=False)
    out, params = jax.eval_shape(start, jax.random.key(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    assert out.dtype == jnp.dtype(dtype)


def test_64_bits_must_be_switched_on():
    with pytest.raises(ValueError, match="JAX_ENABLE_X64"):
        _ = Numerics("float64").compute


def test_heads_must_share_the_width():
    with pytest.raises(ValueError, match="width 10 does not divide into num_heads 4"):
        TransformerConfig(width=10, num_heads=4)
