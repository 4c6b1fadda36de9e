import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.similarities import similarities
from tests.hero_jax.losses.score_cases import ONE_EACH, own_blocks, pad

CASE = (ONE_EACH, *own_blocks(3, 3))


def test_a_worked_example():
    found = similarities(*CASE, margin=0.1)
    assert found["positive"] == pytest.approx(0.5)
    assert found["negative"] == pytest.approx((0.3 + 0.45 + 0.2 + 0.1 + 0.7 + 0.65) / 6)
    assert found["hardest"] == pytest.approx((0.45 + 0.2 + 0.7) / 3)
    assert found["active"] == pytest.approx(3 / 6)  # .45 .7 .65


def test_padding_counts_nowhere():
    padded = [pad(x, 2, 1, v) for x, v in zip(CASE, (np.nan, False, False))]
    for name, value in similarities(*padded).items():
        np.testing.assert_allclose(value, similarities(*CASE)[name], rtol=1e-6)


def test_nothing_to_compare_is_zero():
    nothing = np.zeros((2, 2), bool)
    found = similarities(jnp.zeros((2, 2), jnp.bfloat16), nothing, nothing)
    assert all(value == 0 for value in found.values())
