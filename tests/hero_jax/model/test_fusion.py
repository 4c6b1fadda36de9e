import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hand_packing import HandVideo, one_each, pack_texts, pack_videos
from test_hero import CONFIG

from hero_jax.model import fusion
from hero_jax.model.fusion import FeatureFusion, SequenceEmbedding
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.layers import Numerics

FEATURES = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32)
VIDEO = HandVideo(FEATURES, [([0, 1], [2, 3, 4]), ([], [5, 6]), ([3], [2, 7])])
OTHER = HandVideo(FEATURES[:4] + 1, [([2], [8])])
LAYOUT = {"num_frames": 6, "num_rows": 5, "length": 11}


def subtitle_places(videos, num_subtitles):
    """First word of every segment of the two videos, packed one a row."""
    place = np.full((2, num_subtitles), -1)
    for b, rows in enumerate(((0, 1, 2), (3,))):
        for s, row in enumerate(rows):
            place[b, s] = row * LAYOUT["length"] + np.argmax(
                (videos.segment[row] > 0) & (videos.frame[row] < 0)
            )
    return place


def batch(*videos, num_subtitles=3, **options):
    packed = pack_videos(videos, **(LAYOUT | options), place=one_each)
    return packed.replace(subtitle=subtitle_places(packed, num_subtitles))


def config(kind, **options):
    return dataclasses.replace(CONFIG, fusion=kind, **options)


@functools.cache
def parameters(kind):
    start = functools.partial(Hero(config(kind)).init, method="encode_videos")
    return jax.jit(start)(jax.random.key(0), batch(VIDEO, OTHER))


@functools.cache
def encoder(kind, **options):
    hero = Hero(config(kind, **options))
    return jax.jit(functools.partial(hero.apply, method="encode_videos"))


# --- by hand ------------------------------------------------------------------------


def test_the_greatest_of_each_dimension_is_taken_among_the_words_of_a_segment():
    videos = pack_videos(
        [HandVideo(FEATURES, [([0], [2, 3]), ([1, 2], [4])])],
        num_frames=6,
        num_rows=1,
        length=7,
    )
    #      frame   words of 1      frames of 2     word    padding
    x = [[[9, 9], [1, -3], [0, -2], [9, 9], [9, 9], [-5, 4], [9, 9]]]
    found = fusion.greatest(jnp.array(x, jnp.float32), videos)
    first, second = [1, -2], [-5, 4]
    expected = [[first] * 3 + [second] * 3 + [[0, 0]]]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_officially_padding_counts_where_a_subtitle_is_shorter_than_the_longest():
    videos = pack_videos(
        [HandVideo(FEATURES, [([0], [2, 3]), ([1], [4])])],
        num_frames=6,
        num_rows=2,
        length=3,
        place=one_each,
    )
    x = [[[0], [1], [-1], [7]], [[0], [2], [0], [3]]]  # the last slot is padding
    found = fusion.greatest(jnp.array(x, jnp.float32), videos)
    np.testing.assert_array_equal(found[:, 0], [[1], [3]])


def test_a_segment_without_words_has_the_zero_vector():
    videos = pack_videos(
        [HandVideo(FEATURES, [([0, 1], [])])], num_frames=6, num_rows=1, length=3
    )
    found = fusion.greatest(jnp.ones((1, 3, 2)), videos)
    np.testing.assert_array_equal(found, 0)


def test_the_first_word_stands_at_the_frames_of_its_segment():
    videos = pack_videos(
        [HandVideo(FEATURES, [([0, 1], [2, 3]), ([2], [4]), ([3], [])])],
        num_frames=6,
        num_rows=1,
        length=8,
    )
    x = jnp.arange(1.0, 9)[None, :, None]
    found = fusion.first_word(x, videos)[0, :, 0]
    np.testing.assert_array_equal(found[jnp.array([0, 1, 4, 6])], [3, 3, 6, 0])


def test_positions_of_words_begin_at_two():
    segments = [VIDEO.segments[0], VIDEO.segments[2]]
    videos = pack_videos(
        [HandVideo(FEATURES, segments)], num_frames=6, num_rows=1, length=8
    )
    tokens, position, segment = fusion.text_slots(videos, has_padding=True)
    np.testing.assert_array_equal(tokens[0], [0, 0, 2, 3, 4, 0, 2, 7, 1])
    np.testing.assert_array_equal(position[0], [0, 0, 2, 3, 4, 0, 2, 3, 1])
    np.testing.assert_array_equal(segment[0], [0, 0, 1, 1, 1, 0, 2, 2, 0])


def projection(kernel, bias):
    """Norm with the usual gain, then a linear layer."""
    width = np.shape(kernel)[0]
    norm = {"scale": np.ones(width), "bias": np.zeros(width)}
    dense = {"kernel": np.array(kernel, float), "bias": np.array(bias, float)}
    return {"norm": norm, "dense": dense}


FRAME, SPOKEN = np.array([[[5.0, 7.0]]]), np.array([[[1.0, 3.0]]])  # norm: -1, 1
SUBTITLES = projection([[1, 0], [0, 2]], [4, 0])  # ReLU(-1 + 4, 2) = (3, 2)


def test_add_sums_frames_and_projected_subtitles():
    params = {"params": {"subtitles": SUBTITLES}}
    module = FeatureFusion(2, 0.0, Numerics(), is_joined=False)
    found = module.apply(params, FRAME, SPOKEN, train=False)
    np.testing.assert_allclose(found, [[[8, 9]]], rtol=1e-4)


def test_add_projects_nothing_to_its_bias():
    params = {"params": {"subtitles": SUBTITLES}}
    module = FeatureFusion(2, 0.0, Numerics(), is_joined=False)
    found = module.apply(params, FRAME, 0 * SPOKEN, train=False)
    np.testing.assert_allclose(found, [[[9, 7]]], rtol=1e-4)


def test_concat_projects_frames_and_projected_subtitles_together():
    """(5, 7, 3, 2): mean 4.25, variance 3.6875."""
    kernel = [[1, 0], [0, 1], [0, 0], [0, -1]]
    params = {"subtitles": SUBTITLES, "joined": projection(kernel, [0, 0])}
    module = FeatureFusion(2, 0.0, Numerics(), is_joined=True)
    found = module.apply({"params": params}, FRAME, SPOKEN, train=False)
    scale = 3.6875**-0.5
    np.testing.assert_allclose(found, [[[0.75 * scale, 5 * scale]]], rtol=1e-4)


def test_the_sequence_numbers_frames_from_zero_and_subtitles_from_two():
    module = SequenceEmbedding(3, 4, 5, 2, Numerics())
    features, spoken = np.zeros((1, 2, 3), np.float32), np.zeros((1, 2, 2), np.float32)
    params = module.init(jax.random.key(0), features, spoken)["params"]
    params = jax.tree.map(jnp.zeros_like, params)
    norm = {"scale": np.ones(2), "bias": np.zeros(2)}
    numbers = lambda count: {"embedding": np.array([[i, -i] for i in range(count)])}
    params["frames"] |= {"norm": norm, "position": numbers(4)}
    params |= {"norm": norm, "position": numbers(5)}
    params["type"] = {"embedding": np.array([[9.0, 0], [0.5, -0.5]])}  # row 1 is read
    frames, spoken = module.apply({"params": params}, features, spoken)
    # Every sum is (a, -a), whose norm is (1, -1) up to the epsilon.
    expected = lambda a: a / np.sqrt(a**2 + 1e-5)
    np.testing.assert_allclose(frames[0, :, 0], expected(np.array([0.5, 1.5])))
    np.testing.assert_allclose(spoken[0, :, 0], expected(np.array([2.5, 3.5])))
    np.testing.assert_allclose(spoken[0, :, 1], -spoken[0, :, 0])


# --- properties ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["concat", "sequence"])
def test_packing_and_order_do_not_matter(kind):
    apart = batch(VIDEO, OTHER)
    together = pack_videos([VIDEO, OTHER], **LAYOUT)
    one, L = together.segment, LAYOUT["length"]
    flat = [
        row * L + np.argmax((one[row] == s) & (together.frame[row] < 0))
        for row in range(len(one))
        for s in range(1, one[row].max() + 1)
    ]
    assert len(flat) == 4 and together.segment.max() > 1
    place = np.full((2, 3), -1)
    place[0], place[1, 0] = flat[:3], flat[3]
    together = together.replace(subtitle=place)
    run = functools.partial(encoder(kind), parameters(kind))
    np.testing.assert_allclose(run(apart), run(together), atol=1e-5)


def test_the_sequence_does_not_see_padding():
    run = functools.partial(encoder("sequence"), parameters("sequence"))
    short, long = batch(VIDEO, OTHER), batch(VIDEO, OTHER, num_subtitles=5)
    real = short.frame_mask
    np.testing.assert_allclose(run(short)[real], run(long)[real], atol=1e-5)


def test_a_subtitle_over_no_frame_is_read_in_the_sequence_alone():
    other = HandVideo(FEATURES, [*VIDEO.segments[:1], ([], [9, 6]), VIDEO.segments[2]])
    for kind in ("concat", "sequence"):
        run = functools.partial(encoder(kind), parameters(kind))
        same = np.allclose(
            run(batch(VIDEO, OTHER)), run(batch(other, OTHER)), atol=1e-6
        )
        assert same == (kind != "sequence")


def test_the_official_way_has_padding_in_all_but_the_longest_subtitles():
    """The longest alone is as it is without; beside it, shorter ones are not."""
    kind = "concat"
    longest = HandVideo(FEATURES, [([0, 1], [2, 3, 4])])
    ours, official = encoder(kind), encoder(kind, official=True)
    alone = batch(longest, HandVideo(FEATURES, []))
    alone = alone.replace(subtitle=np.array([[2, -1, -1], [-1, -1, -1]]))
    run = lambda f, b: np.asarray(f(parameters(kind), b))[0]
    np.testing.assert_allclose(run(ours, alone), run(official, alone), atol=1e-5)
    mixed = batch(VIDEO, OTHER)
    assert np.abs(run(ours, mixed) - run(official, mixed)).max() > 1e-4


def test_gradients_are_finite_and_reach_words_and_features():
    kind = "sequence"
    hero = Hero(config(kind))

    def total(params, features):
        videos = batch(VIDEO, OTHER).replace(features=features)
        frames = hero.apply(
            params,
            videos,
            train=True,
            method="encode_videos",
            rngs={"dropout": jax.random.key(1)},
        )
        return (frames[0] ** 3).sum()

    features = batch(VIDEO, OTHER).features
    grads, of_features = jax.jit(jax.grad(total, argnums=(0, 1)))(
        parameters(kind), features
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    words = grads["params"]["text_embedding"]["word"]["embedding"]
    assert np.abs(words[3]).max() > 0
    assert np.abs(of_features[0]).max() > 0


def test_the_sequence_asks_for_the_places_of_subtitles():
    videos = batch(VIDEO, OTHER).replace(subtitle=None)
    with pytest.raises(ValueError, match="reads_every_line=True"):
        Hero(config("sequence")).apply(
            parameters("sequence"), videos, method="encode_videos"
        )


@pytest.mark.parametrize("kind", ["local", "add", "sequence"])
def test_what_is_read_beside_a_text_has_subtitles_behind_frames_in_the_sequence(kind):
    texts = pack_texts([[3, 4], [5]], num_rows=2, length=3, place=one_each)
    read = functools.partial(Hero(config(kind)).init, method="read_beside")
    shape = jax.eval_shape(read, jax.random.key(0), batch(VIDEO, OTHER), texts)
    (found, mask), _ = jax.eval_shape(
        functools.partial(Hero(config(kind)).init_with_output, method="read_beside"),
        jax.random.key(0),
        batch(VIDEO, OTHER),
        texts,
    )
    length = 9 if kind == "sequence" else 6
    assert found.shape == (2, length, 12) and mask.shape == (2, length)
    assert "temporal_embedding" in shape["params"]


# --- subtitles alone ----------------------------------------------------------------


def test_subtitles_alone_see_no_feature_and_give_their_first_word_to_each_frame():
    plain = batch(VIDEO, OTHER).replace(subtitle=None)
    alone = plain.replace(sees_frames=False)
    params = parameters("local")
    read = jax.jit(functools.partial(Hero(CONFIG).apply, params, method="fuse"))
    found = read(alone)
    other = alone.replace(features=alone.features * 3 + 1)
    np.testing.assert_array_equal(found, read(other))
    # The words are read as a text of their own, the first of them is what a frame gets.
    texts = pack_texts([[2, 3, 4], [2, 7]], num_rows=2, length=11, place=one_each)
    words = Hero(CONFIG).apply(params, texts, method="encode_texts")[:, 0]
    nothing = read(alone.replace(frame=np.full_like(alone.frame, -1)))
    for frame, subtitle in ((0, 0), (1, 0), (3, 1)):
        gained = found[0, frame] - nothing[0, frame]
        np.testing.assert_allclose(gained, words[subtitle], atol=1e-5)
    for frame in (2, 4, 5):
        np.testing.assert_array_equal(found[0, frame], nothing[0, frame])


# --- paper size ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "width",
    [4352, 3072, 2816, 1536, 2048, 2304, 512, 1024],  # hero_spec.md, B.1
)
@pytest.mark.parametrize("kind", ["local", "add", "concat", "sequence"])
def test_every_width_of_features_has_a_model_of_paper_size(kind, width):
    hero = Hero(HeroConfig(feature_width=width, fusion=kind))
    videos = batch(VIDEO, OTHER)
    videos = videos.replace(features=np.zeros((2, 6, width), np.float32))
    start = functools.partial(hero.init_with_output, method="encode_videos")
    frames, variables = jax.eval_shape(start, jax.random.key(0), videos)
    assert frames.shape == (2, 6, 768)
    kernels = {
        leaf.shape
        for leaf in jax.tree.leaves(variables["params"])
        if leaf.ndim == 2 and leaf.shape[0] == width
    }
    assert (width, 768) in kernels
