"""How much a vector, and a result list, says about language instead of content."""

import numpy as np

from hero_jax.metrics.alignment import widened
from hero_jax.types import Float, Int

FOLDS = 5
RIDGE = 1e-2
"""Weight of the penalty, relative to the mean variance of a dimension."""


def language_probe(
    vectors: Float[np.ndarray, "N D"],
    languages: Int[np.ndarray, "N"],
    texts: Int[np.ndarray, "N"],
    *,
    seed: int = 0,
) -> dict[str, float]:
    """Accuracy of a linear probe for the language of a vector, 5-fold, and chance.

    `texts` numbers what is said: translations are equal and never divided between
    training and test. Least squares to one-hot labels with a small ridge. NaN where
    there are fewer than two texts, of which none could be held out.
    """
    vectors = widened(vectors)
    names, label = np.unique(languages, return_inverse=True)
    kinds, text = np.unique(texts, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(kinds))
    fold = order[text] % FOLDS
    hits = np.zeros(len(vectors), bool)
    for held_out in range(FOLDS):
        test = fold == held_out
        if np.any(test) and not np.all(test):
            weights = _fit(vectors[~test], np.eye(len(names))[label[~test]])
            hits[test] = _predict(vectors[test], weights) == label[test]
    chance = np.max(np.bincount(label)) / len(label)
    accuracy = float(np.mean(hits)) if len(kinds) > 1 else np.nan
    return {"accuracy": accuracy, "chance": float(chance)}


def language_bias(
    scores: Float[np.ndarray, "Q B"],
    query_languages: Int[np.ndarray, "Q"],
    text_languages: Int[np.ndarray, "B"],
    *,
    k: int = 10,
) -> dict[str, float]:
    """Of a mixed corpus: share of the first k that speak the query's language.

    Different videos are read with subtitles of different languages. "expected" is that
    language's share of the corpus, "bias" what is above it: 0 asks for content alone.
    """
    k = min(k, scores.shape[1])
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    is_own = text_languages[None, :] == query_languages[:, None]
    share = float(np.mean(np.take_along_axis(is_own, first, axis=1)))
    expected = float(np.mean(is_own))
    return {f"share@{k}": share, "expected": expected, "bias": share - expected}


def _fit(
    vectors: Float[np.ndarray, "N D"], targets: Float[np.ndarray, "N K"]
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [D K] and offset [K] of a ridge regression."""
    mean, target_mean = vectors.mean(axis=0), targets.mean(axis=0)
    x = vectors - mean
    square = x.T @ x
    penalty = RIDGE * max(np.trace(square) / len(square), 1e-12)
    weights = np.linalg.solve(
        square + penalty * np.eye(len(square)), x.T @ (targets - target_mean)
    )
    return weights, target_mean - mean @ weights


def _predict(
    vectors: Float[np.ndarray, "N D"], weights: tuple[np.ndarray, np.ndarray]
) -> Int[np.ndarray, "N"]:
    return np.argmax(vectors @ weights[0] + weights[1], axis=1)
