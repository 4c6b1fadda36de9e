import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.span import SpanLoss, boundary_losses

GOLDEN = Path(__file__).parents[2] / "golden" / "model"
USED = np.array(True)


def test_uniform_logits_cost_the_log_of_the_frames_twice():
    logits = np.zeros((2, 7), np.float32)
    spans = np.array([[0, 3], [2, 6]])
    total, terms = SpanLoss(weight=0.5)(logits, logits, spans, np.ones(2, bool), USED)
    np.testing.assert_allclose(total, 0.5 * 2 * np.log(7), rtol=1e-6)
    np.testing.assert_allclose(terms["start"], np.log(7), rtol=1e-6)


def test_an_unknown_start_leaves_the_known_end_in_the_mean():
    logits = np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]], np.float32)
    spans = np.array([[-1, 2], [0, -1]])
    _, terms = SpanLoss()(logits, logits, spans, np.ones(2, bool), USED)
    np.testing.assert_allclose(terms["end"], np.log(3), rtol=1e-6)
    np.testing.assert_allclose(terms["start"], np.log1p(2 * np.exp(-9.0)), rtol=1e-2)


def test_the_dropped_loss_is_nothing_but_its_terms_remain():
    logits = np.zeros((1, 4), np.float32)
    span, mask = np.array([[0, 1]]), np.ones(1, bool)
    total, terms = SpanLoss()(logits, logits, span, mask, np.array(False))
    assert total == 0
    assert terms["start"] > 1


DEGENERATE = {
    "all_ignored": (np.zeros((3, 5)), np.full((3, 2), -1), np.ones(3, bool)),
    "all_padding": (np.full((3, 5), -np.inf), np.zeros((3, 2), int), np.zeros(3, bool)),
    "one_frame": (np.zeros((2, 1)), np.zeros((2, 2), int), np.ones(2, bool)),
    "masked_frames": (
        np.tile([0, 0, -1e4, -np.inf], (2, 1)),
        np.zeros((2, 2), int),
        np.ones(2, bool),
    ),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("case", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_degenerate_batches_are_finite(dtype, case):
    logits, spans, mask = case
    value = lambda logits: SpanLoss()(logits, logits, spans, mask, USED)[0]
    loss, gradient = jax.jit(jax.value_and_grad(value))(jnp.asarray(logits, dtype))
    assert np.isfinite(loss)
    assert np.all(np.isfinite(np.asarray(gradient, np.float32)))


def recorded():
    scores = np.load(GOLDEN / "vsm_scores.npz")
    own = scores["in/q_vidx"]
    rows = np.arange(len(own))
    logits = [scores[f"out/{name}_logits"][rows, own] for name in ("st", "ed")]
    arrays = np.load(GOLDEN / "vsm_loss_hinge.npz")
    description = json.loads((GOLDEN / "vsm_loss_hinge.json").read_text())
    weight = description["hparams"]["lw_st_ed"]
    return logits, scores["in/targets"], weight, arrays


def test_the_official_training_loss_is_reproduced():
    logits, spans, weight, arrays = recorded()
    mask = np.ones(len(spans), bool)
    total, _ = SpanLoss(weight=weight)(*logits, spans, mask, USED)
    np.testing.assert_allclose(total, arrays["out/loss_st_ed"], rtol=2e-6)


def test_the_official_evaluation_sums_the_boundary_losses():
    logits, spans, weight, arrays = recorded()
    mask = np.ones(len(spans), bool)
    total = sum(
        jnp.sum(boundary_losses(boundary, spans[:, i], mask)[0])
        for i, boundary in enumerate(logits)
    )
    expected = arrays["out/eval_loss_st_ed"]
    np.testing.assert_allclose(weight * total, expected, rtol=2e-6)
