import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.retrieval.spans import (
    OFFICIAL_RULES,
    SpanRules,
    band_scores,
    best_spans,
    exponential_weights,
    legacy_place,
    moments,
)


def random_probs(num_queries=2, num_videos=3, num_frames=7, seed=0):
    logits = np.random.default_rng(seed).normal(
        size=(2, num_queries, num_videos, num_frames)
    )
    return jax.nn.softmax(jnp.asarray(2 * logits, jnp.float32))


def brute_force(starts, ends, weights, num_frames, rules):
    """Of one query: every (score, video, first, last) that is allowed, best first."""
    longest = starts.shape[-1]
    found = [
        (starts[k, m] * weights[k] * ends[k, n], -k, -m, -n)
        for k in range(len(starts))
        for m in range(longest)
        for n in range(num_frames[k])
        if rules.min_frames <= n - m < rules.max_frames
    ]
    return [(score, -k, -m, -n) for score, k, m, n in sorted(found, reverse=True)]


def test_the_best_span_by_hand():
    starts = jnp.array([[[0.1, 0.7, 0.2, 0.0], [0.9, 0.0, 0.1, 0.0]]])
    ends = jnp.array([[[0.0, 0.5, 0.2, 0.3], [0.0, 0.6, 0.4, 0.0]]])
    weights, lengths = jnp.array([[1.0, 0.5]]), jnp.array([[4, 3]])
    spans = best_spans(starts, ends, weights, lengths, SpanRules(max_before_nms=3))
    # .9 * .5 * .6 in video 1, then .7 * .3 in video 0, then .9 * .5 * .4 in video 1.
    np.testing.assert_array_equal(spans.candidate, [[1, 0, 1]])
    np.testing.assert_array_equal(spans.first, [[0, 1, 0]])
    np.testing.assert_array_equal(spans.last, [[1, 3, 2]])
    np.testing.assert_allclose(spans.score, [[0.27, 0.21, 0.18]], rtol=1e-6)


def test_the_official_band_for_min_2_max_4():
    """hero_spec.md T.9: row m has ones exactly at columns m + 2 and m + 3."""
    rules = dataclasses.replace(OFFICIAL_RULES, max_frames=4)
    ones = jnp.ones((1, 1, 6))
    band = band_scores(ones, ones, jnp.ones((1, 1)), jnp.full((1, 1), 6), rules)
    expected = [[1, 1], [1, 1], [1, 1], [1, -1], [-1, -1], [-1, -1]]
    np.testing.assert_array_equal(band[0, 0], expected)


RULES = [
    SpanRules(),
    SpanRules(min_frames=0, max_frames=2),
    SpanRules(max_before_nms=5),
    OFFICIAL_RULES,
]


@pytest.mark.parametrize("rules", RULES)
def test_the_band_finds_what_all_pairs_find(rules):
    starts, ends = random_probs()
    weights = exponential_weights(jnp.array([[0.1, 0.2, 0.0], [0.3, 0.3, 0.1]]), 2.0)
    num_frames = np.array([[7, 4, 1], [5, 7, 6]])
    spans = best_spans(starts, ends, weights, num_frames, rules)
    for q in range(2):
        expected = brute_force(starts[q], ends[q], weights[q], num_frames[q], rules)
        expected = expected[: rules.max_before_nms]
        found = [np.asarray(part[q])[spans.span_mask[q]] for part in spans]
        np.testing.assert_allclose(found[3], [e[0] for e in expected], rtol=1e-5)
        places = np.stack(found[:3], axis=1)
        np.testing.assert_array_equal(places, [e[1:] for e in expected])


def test_frames_after_the_end_do_not_matter():
    starts, ends = random_probs()
    weights, num_frames = jnp.ones((2, 3)), np.array([[7, 4, 2], [5, 7, 6]])
    mask = np.arange(7) < num_frames[..., None]
    plain = best_spans(
        starts * mask, ends * mask, weights, num_frames, SpanRules(max_before_nms=20)
    )
    pad = lambda probs: jnp.pad(probs * mask, ((0, 0), (0, 0), (0, 5)))
    padded = best_spans(
        pad(starts), pad(ends), weights, num_frames, SpanRules(max_before_nms=20)
    )
    for ours, theirs in zip(plain, padded):
        np.testing.assert_array_equal(ours, theirs)


def test_a_video_of_one_frame_has_a_span_only_where_single_frames_are_allowed():
    ones, one = jnp.ones((1, 1, 1)), jnp.ones((1, 1))
    lengths = jnp.array([[1]])
    assert not np.any(best_spans(ones, ones, one, lengths, SpanRules()).span_mask)
    short = best_spans(ones, ones, one, lengths, SpanRules(min_frames=0))
    assert np.all(short.span_mask)


def test_the_legacy_decoding_is_wrong_as_published():
    """hero_spec.md H-1: video 1, frames 5 to 9 of 40 comes out as 0, 18, 9."""
    place = jnp.array([[(1 * 40 + 5) * 40 + 9]])
    decoded = [int(part[0, 0]) for part in legacy_place(place, 100)]
    assert decoded == [0, 18, 9]


def test_moments_are_seconds_with_the_last_frame_included():
    starts, ends = random_probs(num_queries=1, num_videos=2)
    rules = SpanRules(max_before_nms=1)
    spans = best_spans(starts, ends, jnp.ones((1, 2)), np.array([[7, 7]]), rules)
    candidates, intervals = np.array([[4, 1]]), np.array([9, 1.5, 9, 9, 2.0])
    (rows,) = moments(spans, candidates, intervals)
    video = [4, 1][int(spans.candidate[0, 0])]
    first, last = int(spans.first[0, 0]), int(spans.last[0, 0])
    seconds = intervals[video]
    np.testing.assert_allclose(
        rows[0, :3], [video, first * seconds, (last + 1) * seconds]
    )
