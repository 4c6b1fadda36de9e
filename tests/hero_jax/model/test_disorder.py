import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model.disorder import (
    in_order,
    repeated,
    shuffled,
    with_swapped_subtitles,
)
from hero_jax.model.layout import VideoBatch

MASK = np.arange(10) < np.array([8, 5, 1, 0])[:, None]


def test_one_frame_is_everywhere():
    order = repeated(MASK, jnp.array([0.7, 0.0, 0.99, 0.5]))
    assert order[0].tolist() == [5] * 8 + [8, 9]
    assert order[1].tolist() == [0] * 5 + [5, 6, 7, 8, 9]
    assert order[2:].tolist() == [list(range(10))] * 2


def test_two_of_four_chunks_change_places():
    order = shuffled(MASK[:1], jnp.array([0.75]))  # the fifth of six pairs: 1 and 3
    assert order[0].tolist() == [0, 1, 6, 7, 4, 5, 2, 3, 8, 9]


def test_each_pair_of_chunks_is_as_likely():
    draws = (np.arange(600) + 0.5) / 600
    orders = shuffled(np.repeat(MASK[:1], 600, axis=0), jnp.asarray(draws))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert counts.tolist() == [100] * 6


@pytest.mark.parametrize("num_frames", [2, 3, 5, 7, 9])
def test_every_shuffle_of_two_frames_or_more_breaks_the_order(num_frames):
    mask = np.tile(np.arange(10) < num_frames, (60, 1))
    orders = np.asarray(shuffled(mask, jnp.linspace(0, 0.999, 60)))
    assert np.all(np.sort(orders, axis=1) == np.arange(10))
    assert np.all(np.any(orders != np.arange(10), axis=1))
    assert np.all(orders[:, num_frames:] == np.arange(num_frames, 10))


def test_one_frame_has_no_order():
    order = shuffled(MASK, jnp.zeros(4))
    assert order[2:].tolist() == [list(range(10))] * 2


def batch(num_groups):
    """Two videos, of 8 and 5 frames; every frame slot of each in its own row."""
    frame = np.full((2, 10), -1)
    frame[0, :8] = np.arange(8)
    frame[1, :5] = (0 if num_groups == 2 else 10) + np.arange(5)
    rows = np.zeros((2, 10), int)
    features = np.zeros((2, 10, 3), np.float32)
    return VideoBatch(
        features, MASK[:2], rows, rows, rows, frame, rows, num_groups=num_groups
    )


@pytest.mark.parametrize("num_groups", [1, 2])
def test_subtitles_go_round_their_own_video(num_groups):
    moved = jax.jit(with_swapped_subtitles)(batch(num_groups), jnp.array([0.3, 0.0]))
    # 8 frames: 2 + int(.3 * 5) = 3 later; 5 frames: 1 later.
    assert moved.frame[0].tolist() == [3, 4, 5, 6, 7, 0, 1, 2, -1, -1]
    first = 0 if num_groups == 2 else 10
    assert moved.frame[1, :5].tolist() == [first + f for f in (1, 2, 3, 4, 0)]
    assert moved.owner is None


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_subtitles_are_never_left_where_they_were(draw):
    moved = with_swapped_subtitles(batch(1), jnp.full(2, draw))
    shift = np.asarray(moved.frame[0, 0])
    assert 2 <= shift <= 6


def test_frames_follow_their_order():
    frames = np.arange(8.0).reshape(1, 4, 2)
    found = in_order(frames, np.array([[3, 3, 0, 1]]))
    assert found[0].tolist() == [[6, 7], [6, 7], [0, 1], [2, 3]]


@pytest.mark.parametrize("order", [repeated, shuffled])
def test_compiled_it_is_the_same(order):
    mask = np.arange(9) < np.array([[9], [5], [1], [0]])
    draws = np.array([0.1, 0.5, 0.9, 0.0], np.float32)
    np.testing.assert_array_equal(jax.jit(order)(mask, draws), order(mask, draws))
