import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.frame_jsd import FrameJSD

USED = np.array(True)
SOFTPLUS = lambda x: np.log1p(np.exp(x))


def test_a_worked_example():
    f = np.array([[1.0, 2, 0, 9], [0.5, 0, 0, 0]], np.float32)
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)
    spans = np.array([[0, 1], [0, 0]])
    total, terms = FrameJSD(weight=2.0)(f, mask, spans, np.ones(2, bool), USED)
    inside = [(SOFTPLUS(-1) + SOFTPLUS(-2)) / 2, SOFTPLUS(-0.5)]
    outside = [SOFTPLUS(0), SOFTPLUS(0)]
    assert terms["inside"] == pytest.approx(np.mean(inside), rel=1e-6)
    assert terms["outside"] == pytest.approx(np.mean(outside), rel=1e-6)
    assert total == pytest.approx(2 * np.mean(inside) + 2 * np.mean(outside), rel=1e-6)


def test_frames_of_the_moment_are_pulled_and_the_others_pushed():
    f, mask = np.zeros((1, 4), np.float32), np.array([[1, 1, 1, 0]], bool)
    loss = lambda f: FrameJSD()(f, mask, np.array([[1, 1]]), np.ones(1, bool), USED)[0]
    np.testing.assert_allclose(jax.grad(loss)(f), [[0.25, -0.5, 0.25, 0]])


DEGENERATE = {
    "unknown": (np.full((2, 2), -1), np.ones(2, bool)),
    "padding": (np.zeros((2, 2), int), np.zeros(2, bool)),
    "whole_video": (np.array([[0, 3]] * 2), np.ones(2, bool)),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("case", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_degenerate_batches_are_finite(dtype, case):
    spans, query_mask = case
    f = jnp.asarray([[0, 1, np.nan, np.inf]] * 2, dtype)
    mask = np.array([[1, 1, 0, 0]] * 2, bool)
    value = lambda f: FrameJSD()(f, mask, spans, query_mask, USED)[0]
    loss, gradient = jax.value_and_grad(value)(f)
    assert np.isfinite(loss)
    assert np.all(np.isfinite(np.asarray(gradient, np.float32)[:, :2]))
    assert FrameJSD()(f, mask, spans, query_mask, np.array(False))[0] == 0
