import jax
import numpy as np
import pytest

from hero_jax.losses.distillation import Distillation
from hero_jax.losses.info_nce import InfoNCE
from tests.hero_jax.losses.score_cases import called, random_case

SCORES = np.array([[0.3, 0.1], [0.2, 0.4]], np.float32)
OWN = np.eye(2, dtype=bool)


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def test_a_worked_example():
    teachers = np.array([[[0.2, 0.1], [0.0, 0.1]], [[0.1, 0.2], [0.3, 0.1]]], "f")
    objective = Distillation(temperature=0.1, alpha=2.0)
    vectors = {"teacher_scores": teachers}
    total, terms = called(objective, SCORES, OWN, ~OWN, vectors=vectors)
    ways = []
    for axis in (1, 0):
        targets = softmax(teachers / 0.1, axis + 1).mean(axis=0)
        costs = -(targets * np.log(softmax(SCORES / 0.1, axis))).sum(axis=axis)
        ways.append(costs.mean())
    assert terms["taught"] == pytest.approx(np.mean(ways), rel=1e-5)
    nce, _ = called(InfoNCE(0.1), SCORES, OWN, ~OWN)
    assert total == pytest.approx(float(nce) + 2 * np.mean(ways), rel=1e-5)


def test_a_teacher_without_doubt_teaches_info_nce():
    scores, _, _ = random_case(num_queries=5)
    own = np.eye(5, dtype=bool)
    sure = np.where(own, 1, -1).astype(np.float32)[None]
    objective = Distillation()
    _, terms = called(objective, scores, own, ~own, vectors={"teacher_scores": sure})
    nce, _ = called(InfoNCE(0.05), scores, own, ~own)
    np.testing.assert_allclose(terms["taught"], nce, rtol=1e-5)


def test_a_student_like_its_teacher_is_at_the_minimum_of_what_is_taught():
    scores, own, allowed = random_case()

    def taught(student):
        vectors = {"teacher_scores": scores[None]}
        return called(Distillation(), student, own, allowed, vectors=vectors)[1][
            "taught"
        ]

    np.testing.assert_allclose(jax.grad(taught)(scores), 0, atol=1e-5)


def test_the_teacher_learns_nothing():
    def loss(teacher):
        vectors = {"teacher_scores": teacher}
        return called(Distillation(), SCORES, OWN, ~OWN, vectors=vectors)[0]

    assert not np.any(jax.grad(loss)(SCORES[None] / 2))


def test_a_missing_teacher_says_so():
    with pytest.raises(ValueError, match="at least one teacher"):
        called(Distillation(), SCORES, OWN, ~OWN)
