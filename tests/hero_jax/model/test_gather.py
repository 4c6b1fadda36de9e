import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model.gather import gather, sum_at

VECTORS = np.arange(24, dtype=np.float32).reshape(4, 3, 2)  # N1 N2 D


def test_an_index_counts_over_both_leading_axes():
    out = gather(VECTORS, np.array([[0, 4], [11, -1]]), num_groups=1)
    assert np.array_equal(out, [[[0, 1], [8, 9]], [[22, 23], [0, 0]]])


def test_an_index_counts_within_its_own_group():
    out = gather(VECTORS, np.array([[0, 5], [0, 5]]), num_groups=2)
    assert np.array_equal(out, [[[0, 1], [10, 11]], [[12, 13], [22, 23]]])


@pytest.mark.parametrize("groups", [1, 2])
def test_outside_its_group_is_nothing(groups):
    index = np.array([[12, -7], [100, 2**30]])
    assert not np.any(gather(VECTORS, index, num_groups=groups))
    found = gather(VECTORS.astype(jnp.bfloat16), index, num_groups=groups)
    assert found.dtype == jnp.bfloat16


def test_vectors_for_one_place_are_added():
    index = np.array([[0, 2, -1], [2, -1, -1], [3, 3, 3], [-1, -1, 0]])
    out = sum_at(VECTORS, index, (2, 2), num_groups=1)
    assert np.array_equal(out, [[[0 + 22, 1 + 23], [0, 0]], [[8, 10], [42, 45]]])


@pytest.mark.parametrize("groups", [1, 2])
def test_the_sum_is_the_transpose_of_the_gather(groups):
    rng = np.random.default_rng(0)
    table = rng.standard_normal((4, 5, 2)).astype(np.float32)
    index = rng.integers(-1, 10, (4, 3))
    weights = rng.standard_normal((4, 3, 2)).astype(np.float32)
    total = lambda t: jnp.sum(gather(t, index, num_groups=groups) * weights)
    actual = sum_at(weights, index, (4, 5), num_groups=groups)
    np.testing.assert_allclose(actual, jax.grad(total)(table), atol=1e-6)
