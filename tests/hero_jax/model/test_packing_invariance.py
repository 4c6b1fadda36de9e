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

from hero_jax.model.hero import Hero, HeroConfig
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
    frames, queries = hero.encode_videos(videos), hero.encode_queries(texts)
    start, end = hero.all_span_logits(queries, frames, videos.frame_mask)
    return {
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


def batch(videos, texts=TEXTS, **layout):
    layout = SMALL | layout
    rows = {k: layout[k] for k in ("num_rows", "length", "place") if k in layout}
    return pack_videos(videos, **layout), pack_texts(texts, **rows)


@jax.jit
def outputs_and_gradient(params, videos, texts, weights):
    """Predictions, and the gradient of their sum with the given weights."""
    forward = lambda p: HERO.apply(p, videos, texts, method=predict)
    out, pull = jax.vjp(forward, params)
    return out, pull(weights)[0]


@jax.jit
def outputs(params, videos, texts):
    return HERO.apply(params, videos, texts, method=predict)


def evaluate(videos, texts):
    """The same without the padding of frames, videos and queries."""
    Q, (B, F, _) = len(texts.row), videos.features.shape
    shapes = dict(frames=(B, F, 8), queries=(Q, 8), scores=(Q, B))
    shapes |= dict(start=(Q, B, F), end=(Q, B, F))
    rng = np.random.default_rng(9)
    weights = {}
    for name, real in REAL.items():
        drawn = rng.standard_normal(real).astype(np.float32)
        extra = [(0, n - m) for n, m in zip(shapes[name], real)]
        weights[name] = np.pad(drawn, extra)
    out, gradient = outputs_and_gradient(parameters(), videos, texts, weights)
    cut = {name: out[name][tuple(map(slice, real))] for name, real in REAL.items()}
    return cut, gradient


REAL = {
    "frames": (4, 7, 8),
    "queries": (4, 8),
    "scores": (4, 4),
    "start": (4, 4, 7),
    "end": (4, 4, 7),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_the_layout_changes_neither_value_nor_gradient(layout):
    expected, actual = evaluate(*batch(VIDEOS)), evaluate(*batch(VIDEOS, **layout))
    assert_close(actual, expected)


def test_one_video_and_one_query_at_a_time_are_the_batch():
    params = parameters()
    together = outputs(params, *batch(VIDEOS))
    for b, video in enumerate(VIDEOS):
        for q in (b % len(TEXTS),):
            alone = outputs(params, *batch([video], [TEXTS[q]]))
            n = len(video.features)
            pairs = {
                "frames": (alone["frames"][0, :n], together["frames"][b, :n]),
                "query": (alone["queries"][0], together["queries"][q]),
                "score": (alone["scores"][0, 0], together["scores"][q, b]),
                "start": (alone["start"][0, 0, :n], together["start"][q, b, :n]),
                "end": (alone["end"][0, 0, :n], together["end"][q, b, :n]),
            }
            for name, (one, all_) in pairs.items():
                np.testing.assert_allclose(one, all_, atol=2e-5, err_msg=name)


def test_the_gather_by_owner_is_the_segment_sum():
    by_sum, by_owner = (batch(SINGLE_OWNER, with_owner=w) for w in (False, True))
    assert_close(evaluate(*by_owner), evaluate(*by_sum))


@pytest.mark.parametrize("with_owner", [False, True])
def test_groups_are_batches_side_by_side(with_owner):
    params = parameters()
    halves = [
        batch(SINGLE_OWNER[i : i + 2], TEXTS[i : i + 2], with_owner=with_owner)
        for i in (0, 2)
    ]
    videos = in_groups([videos for videos, _ in halves])
    texts = texts_in_groups([texts for _, texts in halves])
    together = outputs(params, *batch(SINGLE_OWNER))
    assert_close(outputs(params, videos, texts), together)


def test_frames_with_two_owners_hear_both():
    params = parameters()
    both = batch(VIDEOS)[0]
    hear = jax.jit(lambda videos: HERO.apply(params, videos, method="fuse"))
    silent = hear(batch([HandVideo(v.features, []) for v in VIDEOS])[0])
    first, second = VIDEOS[0].segments[:2]
    rest = VIDEOS[1:]
    alone = [
        hear(batch([HandVideo(VIDEOS[0].features, [s]), *rest])[0])
        for s in (first, second)
    ]
    added = [h[0, 2] - silent[0, 2] for h in alone]
    np.testing.assert_allclose(hear(both)[0, 2], silent[0, 2] + sum(added), atol=1e-5)


def test_perturbing_one_segment_leaves_the_others_bit_equal():
    params = parameters()
    videos, _ = batch(VIDEOS)
    rows = jax.jit(lambda v: HERO.apply(params, v, method="cross_modal_rows"))
    before = rows(videos)
    for row, segment in {(0, 1), (0, 2), (1, 1)}:
        is_own = (videos.segment == segment) & (np.arange(3) == row)[:, None]
        is_word = is_own & (videos.frame < 0)
        assert is_word.any()
        changed = videos.replace(tokens=np.where(is_word, 29, videos.tokens))
        after = rows(changed)
        assert np.array_equal(after[~is_own], before[~is_own])
        assert not np.allclose(after[is_own], before[is_own])


@jax.jit
def encode(texts):
    return HERO.apply(parameters(), texts, method="encode_queries")


def test_a_query_is_pooled_from_its_own_words_alone():
    _, texts = batch(VIDEOS)
    _, others = batch(VIDEOS, [*TEXTS[:3], [20, 21]])
    assert np.array_equal(encode(texts)[:3], encode(others)[:3])
    assert not np.allclose(encode(texts)[3], encode(others)[3])


def test_an_absent_query_is_the_zero_vector():
    queries = encode(pack_texts(TEXTS[:3], num_rows=3, length=13, num_queries=4))
    assert np.all(queries[3] == 0)
    assert np.all(np.any(queries[:3] != 0, axis=1))


def assert_close(actual, expected, tolerance=2e-5):
    """To a share of the largest value of each array (key biases: all but zero)."""

    def check(path, a, e):
        scale = max(float(np.abs(e).max(initial=0)), 1e-1)
        np.testing.assert_allclose(
            a, e, rtol=0, atol=tolerance * scale, err_msg=jax.tree_util.keystr(path)
        )

    jax.tree_util.tree_map_with_path(check, actual, expected)


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
