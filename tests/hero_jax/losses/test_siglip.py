import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.siglip import SigLIP
from tests.hero_jax.losses.score_cases import ONE_EACH, called, own_blocks, random_case


def test_a_worked_example():
    scores, own = np.array([[0.3, 0.1], [0.2, 0.4]], np.float32), np.eye(2) > 0
    fixed = SigLIP(temperature=0.1, bias=-1.0, is_learned=False)
    total, terms = called(fixed, scores, own, ~own)
    # Logits 2 0 / 1 3.
    sigmoid = lambda x: 1 / (1 + np.exp(-np.array(x)))
    assert terms["true"] == pytest.approx(-np.log(sigmoid([2, 3])).sum() / 2, rel=1e-6)
    other = -np.log(sigmoid([0.0, -1])).sum() / 2
    assert terms["other"] == pytest.approx(other, rel=1e-6)
    assert total == pytest.approx(float(terms["true"] + terms["other"]), rel=1e-6)


def test_it_starts_with_nearly_every_pair_false():
    """Zhai et al.: at scores of 0 the bias gives the prior, and a small loss."""
    scores, own = np.zeros((4, 4), np.float32), np.eye(4) > 0
    total, _ = called(SigLIP(is_learned=False), scores, own, ~own)
    expected = np.log1p(np.exp(10)) + 3 * np.log1p(np.exp(-10))
    assert total == pytest.approx(expected, rel=1e-6)


def test_learned_numbers_start_where_the_fixed_ones_are():
    case = random_case()
    vectors = {"log_scale": jnp.log(10.0), "bias": jnp.float32(-10)}
    learned, _ = called(SigLIP(), *case, vectors=vectors)
    fixed, _ = called(SigLIP(is_learned=False), *case)
    np.testing.assert_allclose(learned, fixed, rtol=1e-5)


def test_scale_and_bias_have_gradients():
    def loss(log_scale, bias):
        vectors = {"log_scale": log_scale, "bias": bias}
        return called(SigLIP(), ONE_EACH, *own_blocks(3, 3), vectors=vectors)[0]

    assert all(np.abs(g) > 1e-6 for g in jax.grad(loss, (0, 1))(2.0, -5.0))


def test_pairs_do_not_see_one_another():
    """Leaving half of the pairs out takes their part of the sum, and no more."""
    scores, own, allowed = random_case()
    fixed = SigLIP(is_learned=False)
    left, right = allowed.copy(), allowed.copy()
    left[:, 2:], right[:, :2] = False, False
    other = lambda mask: called(fixed, scores, own, mask)[1]["other"]
    np.testing.assert_allclose(other(left) + other(right), other(allowed), rtol=1e-6)


def test_a_missing_bias_says_so():
    with pytest.raises(ValueError, match=r'vectors\["bias"\]'):
        called(SigLIP(), *random_case(), vectors={"log_scale": jnp.log(10.0)})
