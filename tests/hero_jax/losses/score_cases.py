"""Scores of queries with videos, and which pairs are true, for tests of objectives."""

import functools

import jax
import numpy as np


def own_blocks(num_queries, num_videos):
    """The official layout: equal blocks of queries in the order of their videos."""
    own = np.arange(num_queries) // (num_queries // num_videos)
    positives = own[:, None] == np.arange(num_videos)
    return positives, ~positives


def random_case(seed=0, num_queries=12, num_videos=5):
    """Queries of random videos, one pair of different videos not to be contrasted."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-1, 1, (num_queries, num_videos)).astype(np.float32)
    positives = rng.integers(num_videos, size=num_queries)[:, None] == np.arange(
        num_videos
    )
    allowed = ~positives
    allowed[0, np.argmin(positives[0])] = False
    return scores, positives, allowed


def pad(array, num_queries, num_videos, value):
    return np.pad(
        array, ((0, num_queries), (0, num_videos)), constant_values=np.array(value)
    )


@functools.partial(jax.jit, static_argnames="objective")
def called(objective, scores, positives, allowed, *, step=0, key=None, vectors=None):
    """The objective as one compiled program: (total, terms)."""
    return objective(scores, positives, allowed, step=step, key=key, vectors=vectors)


def by_hand(pair_cost, scores, positives, allowed):
    """(context, query) from the cost of a true score beside its negatives.

    Plain loops in float64: a mean over the true pairs of a row, then over rows.
    """

    def one_way(scores, positives, negative):
        rows = [
            [pair_cost(row[j], row[no]) for j in np.flatnonzero(yes)]
            for row, yes, no in zip(scores.astype(float), positives, negative)
            if yes.any()
        ]
        return np.mean([np.mean(costs) for costs in rows])

    negative = allowed & ~positives
    return (
        one_way(scores, positives, negative),
        one_way(scores.T, positives.T, negative.T),
    )


# Worked by hand and by the official code (hero_spec.md T.7).
ONE_EACH = np.array([[0.5, 0.3, 0.45], [0.2, 0.6, 0.1], [0.7, 0.65, 0.4]], np.float32)
TWO_EACH = np.array([[0.5, 0.3], [0.2, 0.6], [0.4, 0.35], [0.1, 0.9]], np.float32)
