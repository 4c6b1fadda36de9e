"""Packed, padded, one at a time: the layout of a batch changes no result.

The batch holds frames with no, one and two owners, a subtitle without frames, one
without text, a video without subtitles and a video of one frame.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_packing import (
    HandVideo,
    in_groups,
    one_each,
    pack_texts,
    pack_videos,
    texts_in_groups,
)

from hero_jax.model.hero import Hero, HeroConfig, onto_frames
from hero_jax.model.transformer import TransformerConfig
from hero_jax.tasks import packing

CONFIG = HeroConfig(
    vocab_size=31,
    feature_width=10,
    max_positions=9,
    max_segment_frames=6,
    max_frames=12,
    max_query_positions=7,
    cross_modal=TransformerConfig(
        width=8, num_heads=2, num_layers=2, mlp_width=14, dropout=0.0
    ),
    temporal=TransformerConfig(
        width=8, num_heads=4, num_layers=1, mlp_width=11, dropout=0.0
    ),
    query_heads=2,
    dropout=0.0,
)
HERO = Hero(CONFIG)
TEXTS = [[3, 4, 5], [6], [7, 8, 9, 10, 11], [12, 13]]


def features(seed, num_frames):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((num_frames, 10)).astype(np.float32)


VIDEOS = [
    HandVideo(features(0, 7), [([0, 1, 2], [2, 5, 6]), ([2, 4], [2, 7]), ([], [2, 8])]),
    HandVideo(features(1, 1), [([0], [2])]),
    HandVideo(features(2, 4), []),
    HandVideo(features(3, 5), [([1, 2], []), ([3], [2, 9, 9, 4, 5, 6])]),
]
SINGLE_OWNER = [
    HandVideo(v.features, [s for s in v.segments if s[0] != [2, 4]]) for v in VIDEOS
]


def predict(hero, videos, texts):
    """Everything there is to see, so that one program serves all tests of a shape."""
    rows, queries = hero.cross_modal_rows(videos), hero.encode_queries(texts)
    fused = hero.frame_transform(videos.features) + onto_frames(rows, videos)
    frames = hero.contextualise(fused, videos.frame_mask)
    start, end = hero.all_span_logits(queries, frames, videos.frame_mask)
    return {
        "rows": rows,
        "fused": fused,
        "frames": jnp.where(videos.frame_mask[..., None], frames, 0),
        "queries": queries,
        "scores": hero.video_scores(queries, frames, videos.frame_mask),
        "start": jnp.where(videos.frame_mask, start, 0),
        "end": jnp.where(videos.frame_mask, end, 0),
    }


@functools.cache
def parameters():
    """Noise everywhere, so that no bias or table hides at zero."""
    shapes = jax.eval_shape(
        lambda k: HERO.init(k, *batch(VIDEOS), method=predict), jax.random.key(0)
    )
    rng = np.random.default_rng(5)
    draw = lambda s: (0.4 * rng.standard_normal(s.shape)).astype(np.float32)
    return jax.tree.map(draw, shapes)


SMALL = {"num_frames": 7, "num_rows": 3, "length": 13}
LARGE = {"num_frames": 11, "num_rows": 8, "length": 30, "num_videos": 6}
LAYOUTS = {
    "as packed, with room to spare": LARGE | {"capacity": 13},
    "one row of many segments": LARGE | {"capacity": 30},
    "padded, one segment a row": LARGE | {"place": one_each},
}


def batch(videos, texts=TEXTS, *, num_queries=4, **layout):
    layout = SMALL | layout
    rows = {k: layout[k] for k in ("num_rows", "length", "place") if k in layout}
    texts = pack_texts(texts, num_queries=num_queries, **rows)
    return pack_videos(videos, **layout), texts


@jax.jit
def outputs_and_gradient(params, videos, texts, weights):
    """Predictions, and the gradient of their sum with the given weights."""
    forward = lambda p: HERO.apply(p, videos, texts, method=predict)
    out, pull = jax.vjp(forward, params)
    return out, pull(weights)[0]


REAL = {
    "frames": (4, 7, 8),
    "queries": (4, 8),
    "scores": (4, 4),
    "start": (4, 4, 7),
    "end": (4, 4, 7),
}
"""What is in the batch; the rest of each array is padding."""


def evaluate(videos, texts):
    """Predictions and gradient without padding; the gradient weighs by chance."""
    weights = shapes(videos, texts)
    rng = np.random.default_rng(9)
    for name, real in REAL.items():
        weights[name][tuple(map(slice, real))] = rng.standard_normal(real)
    out, gradient = outputs_and_gradient(parameters(), videos, texts, weights)
    cut = {name: out[name][tuple(map(slice, real))] for name, real in REAL.items()}
    return cut, gradient


def outputs(videos, texts):
    """All predictions, padding included."""
    arguments = (parameters(), videos, texts, shapes(videos, texts))
    return jax.tree.map(np.asarray, outputs_and_gradient(*arguments)[0])


def shapes(videos, texts):
    """Zeros in the shapes of the predictions."""
    Q, (B, F, _) = len(texts.row), videos.features.shape
    of = dict(rows=(*videos.tokens.shape, 8), fused=(B, F, 8), frames=(B, F, 8))
    of |= dict(queries=(Q, 8), scores=(Q, B), start=(Q, B, F), end=(Q, B, F))
    return {name: np.zeros(shape, np.float32) for name, shape in of.items()}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_the_layout_changes_neither_value_nor_gradient(layout):
    expected, actual = evaluate(*batch(VIDEOS)), evaluate(*batch(VIDEOS, **layout))
    assert_close(actual, expected)


def test_one_video_and_one_query_at_a_time_are_the_batch():
    together = outputs(*batch(VIDEOS))
    for i, (video, text) in enumerate(zip(VIDEOS, TEXTS)):
        alone = outputs(*batch([video], [text], num_videos=4))
        n = len(video.features)
        pairs = {
            "frames": (alone["frames"][0, :n], together["frames"][i, :n]),
            "query": (alone["queries"][0], together["queries"][i]),
            "score": (alone["scores"][0, 0], together["scores"][i, i]),
            "start": (alone["start"][0, 0, :n], together["start"][i, i, :n]),
            "end": (alone["end"][0, 0, :n], together["end"][i, i, :n]),
        }
        for name, (one, all_) in pairs.items():
            np.testing.assert_allclose(one, all_, atol=2e-5, err_msg=name)


def test_the_gather_by_owner_is_the_segment_sum():
    by_sum, by_owner = (batch(SINGLE_OWNER, with_owner=w) for w in (False, True))
    assert_close(evaluate(*by_owner), evaluate(*by_sum))


def test_groups_are_batches_side_by_side():
    halves = [
        batch(SINGLE_OWNER[i : i + 2], TEXTS[i : i + 2], with_owner=True, num_queries=2)
        for i in (0, 2)
    ]
    videos = in_groups([videos for videos, _ in halves])
    texts = texts_in_groups([texts for _, texts in halves])
    assert_close(evaluate(videos, texts), evaluate(*batch(SINGLE_OWNER)))


def test_frames_with_two_owners_hear_both():
    def hear(*segments):
        first = HandVideo(VIDEOS[0].features, segments)
        return outputs(*batch([first, *VIDEOS[1:]]))["fused"][0, 2]

    one, other = VIDEOS[0].segments[:2]
    silent = hear()
    added = hear(one) - silent + hear(other) - silent
    np.testing.assert_allclose(hear(one, other), silent + added, atol=1e-5)


def test_perturbing_one_segment_leaves_the_others_bit_equal():
    videos, texts = batch(VIDEOS)
    before = outputs(videos, texts)["rows"]
    for row, segment in {(0, 1), (0, 2), (1, 1)}:
        is_own = (videos.segment == segment) & (np.arange(3) == row)[:, None]
        is_word = is_own & (videos.frame < 0)
        assert is_word.any()
        changed = videos.replace(tokens=np.where(is_word, 29, videos.tokens))
        after = outputs(changed, texts)["rows"]
        assert np.array_equal(after[~is_own], before[~is_own])
        assert not np.allclose(after[is_own], before[is_own])


def test_a_query_is_pooled_from_its_own_words_alone():
    before = outputs(*batch(VIDEOS))["queries"]
    after = outputs(*batch(VIDEOS, [*TEXTS[:3], [20, 21]]))["queries"]
    assert np.array_equal(before[:3], after[:3])
    assert not np.allclose(before[3], after[3])


def test_an_absent_query_is_the_zero_vector():
    queries = outputs(*batch(VIDEOS, TEXTS[:3]))["queries"]
    assert np.all(queries[3] == 0)
    assert np.all(np.any(queries[:3] != 0, axis=1))


def test_the_packer_of_the_project_changes_neither_value_nor_gradient():
    """Same array shapes as the large layout, so nothing new is compiled."""
    num_videos, num_frames = LARGE["num_videos"], LARGE["num_frames"]
    by_hand, _ = batch(VIDEOS, **LARGE)
    videos = [
        [packing.Segment(np.array(t, int), np.array(f, int)) for f, t in v.segments]
        for v in VIDEOS
    ]
    texts = [np.array(text) for text in TEXTS]
    plan = lambda sizes: packing.plan_groups([sizes], 13)
    rows = {"num_rows": LARGE["num_rows"], "row_length": LARGE["length"], "pad": 1}
    packed = (
        packing.video_rows(
            [videos + [[]] * (num_videos - len(videos))],
            by_hand.features,
            by_hand.frame_mask,
            plan([len(s) for video in videos for s in video]),
            has_one_owner=False,
            **rows,
        ),
        packing.text_rows([texts], plan(list(map(len, texts))), **rows),
    )
    assert packed[0].frame_mask.shape == (num_videos, num_frames)
    assert_close(evaluate(*packed), evaluate(*batch(VIDEOS)))


def assert_close(actual, expected, tolerance=2e-5):
    """To a share of the largest value of each array (key biases: all but zero)."""

    def check(path, a, e):
        scale = max(float(np.abs(e).max(initial=0)), 1e-1)
        np.testing.assert_allclose(
            a, e, rtol=0, atol=tolerance * scale, err_msg=jax.tree_util.keystr(path)
        )

    jax.tree_util.tree_map_with_path(check, actual, expected)
