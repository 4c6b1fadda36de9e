import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model.dropout import Dropout, hash_dropout

SEED = np.array([123, 456], np.uint32)
SHIFTS = (np.uint32(0), np.uint32(1))
ONES = np.ones((40, 25, 30), np.float32)


def drop(x, rate=0.1, kind="hash", key=0, train=True):
    rngs = {"dropout": jax.random.key(key)}
    return Dropout(rate, kind).apply({}, x, train=train, rngs=rngs)


@pytest.mark.parametrize("kind", ["hash", "bernoulli"])
def test_the_kept_share_and_the_mean_are_right(kind):
    out = np.asarray(drop(ONES, 0.3, kind))
    assert set(np.unique(out)) == {0, np.float32(1 / 0.7)}
    assert abs((out == 0).mean() - 0.3) < 0.01
    assert abs(out.mean() - 1) < 0.015


def test_without_training_or_rate_nothing_happens():
    assert drop(ONES, train=False) is ONES
    assert drop(ONES, 0.0) is ONES


def test_masks_differ_by_key_and_by_place_in_the_model():
    first, second = np.asarray(drop(ONES, key=1)), np.asarray(drop(ONES, key=2))
    agree = ((first == 0) == (second == 0)).mean()
    assert abs(agree - (0.9**2 + 0.1**2)) < 0.01  # as often as by chance


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_and_columns_are_independent(axis):
    dropped = np.asarray(hash_dropout(ONES, SEED, 0.1)) == 0
    counts = dropped.sum(tuple(a for a in range(3) if a != axis))
    binomial = np.sqrt(0.1 * 0.9 * dropped.size / len(counts))
    assert np.abs(counts - counts.mean()).max() < 4.5 * binomial
    shifted = np.roll(dropped, 1, axis)
    assert abs((dropped & shifted).mean() - 0.01) < 0.003


def test_masks_of_neighbouring_seeds_are_no_shifted_copies():
    flat = ONES.reshape(-1)
    masks = [np.asarray(hash_dropout(flat, SEED + d, 0.5)) == 0 for d in SHIFTS]
    for shift in range(3):
        agree = masks[0][shift:] == masks[1][: len(flat) - shift]
        assert abs(agree.mean() - 0.5) < 0.02


def test_the_gradient_has_the_same_mask():
    out = hash_dropout(ONES, SEED, 0.2)
    gradient = jax.grad(lambda x: jnp.sum(hash_dropout(x, SEED, 0.2)))(ONES)
    assert np.array_equal(gradient, out)


def test_the_mask_does_not_depend_on_the_mesh():
    mesh = jax.make_mesh(
        (4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2
    )
    place = lambda *axes: jax.sharding.NamedSharding(mesh, jax.P(*axes))
    f = jax.jit(lambda x: hash_dropout(x, SEED, 0.1))
    expected = f(ONES)
    for axes in [("a",), ("a", None, "b"), (("a", "b"),)]:
        assert np.array_equal(f(jax.device_put(ONES, place(*axes))), expected)


def test_bfloat16_stays_bfloat16():
    assert hash_dropout(ONES.astype(jnp.bfloat16), SEED, 0.1).dtype == jnp.bfloat16
