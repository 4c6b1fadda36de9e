import numpy as np
import pytest

from hero_jax.metrics.language_probe import language_bias, language_probe


def vectors(shift, num_texts=120):
    """Translations: the same vector, moved by `shift` in one language."""
    rng = np.random.default_rng(0)
    meaning = rng.standard_normal((num_texts, 8))
    both = np.concatenate([meaning, meaning + shift])
    languages = np.repeat([0, 1], num_texts)
    texts = np.tile(np.arange(num_texts), 2)
    return both + 0.1 * rng.standard_normal(both.shape), languages, texts


def test_a_language_with_its_own_place_is_recognised():
    found = language_probe(*vectors(shift=np.eye(8)[0] * 4))
    assert found["accuracy"] > 0.95
    assert found["chance"] == 0.5


def test_translations_in_one_place_are_not():
    assert language_probe(*vectors(shift=0))["accuracy"] < 0.62


def test_bias_by_hand():
    scores = np.array([[4.0, 3, 2, 1], [1.0, 2, 3, 4]])
    text_languages = np.array([0, 0, 1, 1])
    found = language_bias(scores, np.array([0, 0]), text_languages, k=2)
    # First two: {0 1} all own, {3 2} none.
    assert found == {"share@2": 0.5, "expected": 0.5, "bias": 0.0}
    own = language_bias(scores, np.array([0, 1]), text_languages, k=2)
    assert own["bias"] == pytest.approx(0.5)
