import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.answer import AnswerLoss

LOGITS = np.array([[0.0, np.log(3), 0], [5, 6, 7]], np.float32)
START = np.log(np.array([[1.0, 1, 2, 4], [1, 1, 1, 1]], np.float32))
END = np.log(np.array([[1.0, 2, 1, 1], [1, 1, 1, 1]], np.float32))


def test_a_question_worked_by_hand():
    labels, spans = np.array([1, -1]), np.array([[2, 3], [-1, -1]])
    total, terms = AnswerLoss()(LOGITS, START, END, labels, spans)
    assert terms["answer"] == pytest.approx(np.log(5 / 3))
    assert terms["span"] == pytest.approx((np.log(4) + np.log(5)) / 2)
    assert total == pytest.approx(np.log(5 / 3) + 0.4 * np.log(20) / 2, rel=1e-6)


def test_a_question_without_a_moment_counts_for_its_answer_alone():
    labels, spans = np.array([1, 2]), np.array([[-1, -1], [-1, -1]])
    total, terms = AnswerLoss()(LOGITS, START, END, labels, spans)
    assert terms["span"] == 0
    assert total == terms["answer"]


def test_of_two_events_the_right_one_is_learned_by_cross_entropy_alone():
    """VLEP: two candidates and, officially, no moment (H-51)."""
    logits = np.array([[1.0, 2.0], [0.5, -0.5], [3.0, 3.0]], np.float32)
    labels, spans = np.array([1, 0, 0]), np.array([[0, 2]] * 3)
    flat = np.zeros((3, 4), np.float32)
    total, _ = AnswerLoss(span_weight=0.0)(logits, flat, flat, labels, spans)
    expected = np.mean([np.log1p(np.exp(-1)), np.log1p(np.exp(-1)), np.log(2)])
    assert total == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_nothing_known_is_no_loss_and_no_gradient(dtype):
    def loss(logits, start, end):
        unknown = np.full(2, -1)
        return AnswerLoss()(logits, start, end, unknown, np.full((2, 2), -1))[0]

    given = [jnp.asarray(x, dtype) for x in (LOGITS, START, END)]
    value, grads = jax.value_and_grad(loss, (0, 1, 2))(*given)
    assert value == 0
    assert all(np.all(np.asarray(g, np.float32) == 0) for g in grads)
