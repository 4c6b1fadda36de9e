import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.frame_nce import FrameNce


def random_frames(seed, groups=2, masked=3, others=5, width=4):
    rng = np.random.default_rng(seed)
    draw = lambda n: rng.standard_normal((groups, n, width)).astype(np.float32)
    masks = np.ones((groups, masked), bool), np.ones((groups, others), bool)
    return draw(masked), draw(masked), masks[0], draw(others), masks[1]


def test_the_true_frame_is_chosen_among_other_true_frames_and_predictions():
    predicted = np.array([[[1.0, 0.0], [0.0, 2.0]]], np.float32)
    targets = np.array([[[3.0, 0.0], [1.0, 1.0]]], np.float32)
    negatives = np.array([[[0.0, 5.0]]], np.float32)
    args = (predicted, targets, np.ones((1, 2), bool), negatives, np.ones((1, 1), bool))
    logits = [[3.0, 1.0, 0.0], [0.0, 2.0, 10.0]]
    np.testing.assert_allclose(FrameNce().logits(*args)[0], logits)
    log_sums = np.log(np.exp(logits).sum(axis=1))
    total, terms = FrameNce()(*args)
    assert total == pytest.approx(np.mean(log_sums - [3, 2]), rel=1e-6)
    assert terms["accuracy"] == 0.5
    assert terms["negatives"] == 1
    cool, _ = FrameNce(temperature=2.0)(*args)
    log_sums = np.log(np.exp(np.array(logits) / 2).sum(axis=1))
    assert cool == pytest.approx(np.mean(log_sums - [1.5, 1]), rel=1e-6)


def test_groups_are_computed_one_by_one():
    args = random_frames(0)
    total, _ = FrameNce()(*args)
    each = [FrameNce()(*[x[g : g + 1] for x in args])[0] for g in (0, 1)]
    assert total == pytest.approx(np.mean(each), rel=1e-6)


def test_padding_changes_nothing_whatever_it_holds():
    predicted, targets, mask, negatives, negative_mask = args = random_frames(1)
    value, gradient = jax.value_and_grad(lambda *a: FrameNce()(*a)[0])(*args)
    pad = lambda x: np.pad(x, [(0, 0), (0, 2), (0, 0)], constant_values=np.inf)
    hide = lambda mask: np.pad(mask, [(0, 0), (0, 2)])
    padded = (
        pad(predicted), pad(targets), hide(mask), pad(negatives), hide(negative_mask)
    )  # fmt: skip
    again, of_padded = jax.value_and_grad(lambda *a: FrameNce()(*a)[0])(*padded)
    np.testing.assert_allclose(again, value, rtol=1e-6)
    np.testing.assert_allclose(of_padded[:, :3], gradient, rtol=1e-5, atol=1e-7)
    assert not np.any(of_padded[:, 3:])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_nothing_to_choose_costs_nothing_and_has_a_finite_gradient(dtype):
    predicted, targets, mask, negatives, negative_mask = random_frames(2)
    loss = lambda x, mask, other: FrameNce()(x, targets, mask, negatives, other)[0]
    x = jnp.asarray(predicted, dtype)
    assert loss(x, ~mask, negative_mask) == 0
    one = mask & (np.arange(3) == 1)
    assert loss(x, one, ~negative_mask) == 0  # alone, it cannot be mistaken
    for args in ((~mask, negative_mask), (one, ~negative_mask), (mask, negative_mask)):
        assert np.isfinite(jax.grad(loss)(x, *args).astype(jnp.float32)).all()
