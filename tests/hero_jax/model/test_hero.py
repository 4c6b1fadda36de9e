import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_packing import HandVideo, pack_texts, pack_videos

from hero_jax.model.embeddings import MaskEmbedding
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.transformer import TransformerConfig

CONFIG = HeroConfig(
    vocab_size=24,
    unused_words=2,
    feature_width=10,
    max_positions=9,
    max_segment_frames=5,
    max_frames=7,
    max_query_positions=8,
    max_ordered_frames=7,
    cross_modal=TransformerConfig(width=12, num_heads=3, num_layers=1, mlp_width=14),
    temporal=TransformerConfig(width=12, num_heads=4, num_layers=1, mlp_width=11),
    query_heads=2,
)
LAYOUT = {"num_rows": 2, "length": 11}
FEATURES = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32)
VIDEO = HandVideo(FEATURES, [([0, 1], [2, 3, 4]), ([3], [2])])


def videos_like(*videos):
    return pack_videos(videos, num_frames=6, num_videos=2, **LAYOUT)


def texts_like(*texts):
    return pack_texts(texts, num_queries=3, **LAYOUT)


def predict(hero, videos, texts, train=False):
    frames = hero.encode_videos(videos, train=train)
    queries = hero.encode_queries(texts, train=train)
    own = np.array([0, 1, 0])
    mask = jnp.asarray(videos.frame_mask)
    start, end = hero.span_logits(queries, frames[own], mask[own])
    return {
        "scores": hero.video_scores(queries, frames, mask),
        "start": start,
        "end": end,
        "words": hero.word_logits(frames[:, 0]),
    }


@functools.cache
def parameters():
    batch = videos_like(VIDEO), texts_like([3, 4])
    start = lambda key: Hero(CONFIG).init(key, *batch, method=predict)
    return jax.jit(start)(jax.random.key(0))


@functools.cache
def program(dtype):
    """Predictions, and the gradient of their sum, while training."""
    hero = Hero(dataclasses.replace(CONFIG, dtype=dtype))

    @jax.jit
    def run(params, videos, texts, key):
        def total(params):
            rngs = {"dropout": key}
            out = hero.apply(params, videos, texts, True, method=predict, rngs=rngs)
            finite = (jnp.where(x < -1e3, 0, x).sum() for x in out.values())
            return sum(finite), out

        return jax.grad(total, has_aux=True)(params)

    return run


NOTHING = HandVideo(np.zeros((0, 10), np.float32), [])
DEGENERATE = {
    "no video and no query": ([NOTHING], []),
    "one frame": ([HandVideo(FEATURES[:1], [([0], [2, 5])])], [[3]]),
    "no subtitle": ([HandVideo(FEATURES, [])], [[3, 4]]),
    "no text": ([HandVideo(FEATURES, [([0, 1], [])])], [[3]]),
    "text alone": ([HandVideo(FEATURES[:2], [([], [2, 5])])], [[3]]),
    "all features zero": ([HandVideo(0 * FEATURES, [([0], [2])])], [[3]]),
    "equal features": ([HandVideo(0 * FEATURES + 7, [([0], [2])])], [[3]]),
    "huge features": ([HandVideo(1e4 * FEATURES, [([0], [2])])], [[3]]),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_batches_have_finite_values_and_gradients(case, dtype):
    videos, texts = DEGENERATE[case]
    gradient, out = program(dtype)(
        parameters(), videos_like(*videos), texts_like(*texts), jax.random.key(1)
    )
    for leaf in jax.tree.leaves((gradient, out)):
        assert np.all(np.isfinite(leaf))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_zero_parameters_have_finite_values_and_gradients(dtype):
    """Zero query and frame vectors: the cosine has a floor (NORM_FLOOR)."""
    zeros = jax.tree.map(jnp.zeros_like, parameters())
    batch = videos_like(VIDEO), texts_like([3, 4])
    for leaf in jax.tree.leaves(program(dtype)(zeros, *batch, jax.random.key(1))):
        assert np.all(np.isfinite(leaf))


def test_half_precision_is_close_and_keeps_the_wide_parts_wide():
    """The same key drops the same elements whatever the precision."""
    batch = videos_like(VIDEO), texts_like([3, 4])
    run = lambda dtype: program(dtype)(parameters(), *batch, jax.random.key(1))[1]
    full, half = run("float32"), run("bfloat16")
    for name, exact in full.items():
        assert half[name].dtype == jnp.float32
        np.testing.assert_allclose(half[name], exact, atol=0.05 * np.abs(exact).max())


def test_dropout_depends_on_the_key_alone():
    batch = videos_like(VIDEO), texts_like([3, 4])
    scores = lambda key: program("float32")(parameters(), *batch, jax.random.key(key))
    first, again, other = (scores(key)[1]["scores"] for key in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_words_that_no_token_uses_are_never_predicted():
    hidden = np.zeros((3, 12), np.float32)
    logits = Hero(CONFIG).apply(parameters(), hidden, method="word_logits")
    assert logits.shape == (3, 22)


def test_every_frame_is_marked_but_the_row_of_unmasked_ones_never_learns():
    """H-10: a mask of all false still shifts every frame."""
    marker = MaskEmbedding(10, CONFIG.numerics)
    features, is_masked = FEATURES[None], np.array([[True, False] * 3])
    params = marker.init(jax.random.key(0), features, is_masked)
    rows = params["params"]["rows"]["embedding"]
    out = marker.apply(params, features, is_masked)
    np.testing.assert_array_equal(out[0, 0], FEATURES[0] + rows[1])
    np.testing.assert_array_equal(out[0, 1], FEATURES[1] + rows[0])
    total = lambda p: jnp.sum(marker.apply(p, features, is_masked))
    gradient = jax.grad(total)(params)["params"]["rows"]["embedding"]
    np.testing.assert_array_equal(gradient, [[0] * 10, [3] * 10])


def test_regression_and_order_have_the_official_widths():
    hero, frames = Hero(CONFIG), np.zeros((2, 6, 12), np.float32)
    widths = {"frame_features": 10, "frame_order": 7}
    for method, width in widths.items():
        start = functools.partial(hero.init_with_output, method=method)
        out, _ = jax.eval_shape(start, jax.random.key(0), frames)
        assert out.shape == (2, 6, width)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"temporal": TransformerConfig(width=24, num_heads=4)},
            "cross_modal.width is 12 but temporal.width is 24",
        ),
        ({"query_heads": 5}, "width 12 does not divide into query_heads 5"),
    ],
)
def test_a_config_that_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(CONFIG, **change)
