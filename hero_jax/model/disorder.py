"""A video whose temporal order is broken: what IIC's intra-negatives read.

    frames    0 1 2 3 4 5 6 7 | . .          . padding, which stays where it is
    repeat    5 5 5 5 5 5 5 5 | . .          one frame everywhere
    shuffle   0 1 6 7 4 5 2 3 | . .          of four chunks two change places
    subtitles 3 4 5 6 7 0 1 2 | . .          subtitles move over frames that stay

Everything is decided by one number in [0, 1) for each video, drawn with the data.
"""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np

from hero_jax.model.layout import VideoBatch
from hero_jax.types import Array, Bool, Float, Int

CHUNKS = 4
"""Parts that a shuffled video is cut into; short videos have fewer."""
_PAIRS = [list(itertools.combinations(range(n), 2)) for n in range(CHUNKS + 1)]


def repeated(
    frame_mask: Bool[Array, "B F"], draws: Float[Array, "B"]
) -> Int[Array, "B F"]:
    """Which frame stands at each place: everywhere the one that was drawn."""
    num_frames = _num_frames(frame_mask)
    chosen = jnp.minimum(draws[:, None] * num_frames, num_frames - 1).astype(int)
    return _within(jnp.broadcast_to(chosen, frame_mask.shape), frame_mask)


def shuffled(
    frame_mask: Bool[Array, "B F"], draws: Float[Array, "B"]
) -> Int[Array, "B F"]:
    """Which frame stands at each place: two of the chunks have changed places.

    A video of one frame has no order to break.
    """
    num_frames, places = _num_frames(frame_mask), jnp.arange(frame_mask.shape[1])
    num_chunks = jnp.minimum(num_frames, CHUNKS)
    chunk = jnp.minimum(places * num_chunks // num_frames, CHUNKS - 1)
    turn = jnp.take_along_axis(_swapped(num_chunks[:, 0], draws), chunk, axis=1)
    return jnp.argsort(jnp.where(frame_mask, turn, CHUNKS), axis=1, stable=True)


def with_swapped_subtitles(videos: VideoBatch, draws: Float[Array, "B"]) -> VideoBatch:
    """The batch with every video's subtitles spoken a quarter or more too late.

    They go round: what falls off the end begins again at the start.
    """
    num_frames = _num_frames(videos.frame_mask)[:, 0]
    spread = num_frames // 2 + 1
    shift = num_frames // 4 + jnp.minimum(draws * spread, spread - 1).astype(int)
    shift = jnp.clip(shift, jnp.minimum(1, num_frames - 1), num_frames - 1)
    size = videos.frame_mask.shape[1]
    place = jnp.maximum(jnp.asarray(videos.frame), 0)
    owner = place // size + _first_video(videos)
    moved = (place % size + shift[owner]) % num_frames[owner]
    frame = jnp.where(videos.frame >= 0, place // size * size + moved, -1)
    return dataclasses.replace(videos, frame=frame.astype(jnp.int32), owner=None)


def in_order(
    frames: Float[Array, "B F D"], order: Int[Array, "B F"]
) -> Float[Array, "B F D"]:
    """The frame that `order` names at each place."""
    return jnp.take_along_axis(frames, order[..., None], axis=1)


def _num_frames(frame_mask: Bool[Array, "B F"]) -> Int[Array, "B 1"]:
    """At least one, so that padding videos divide too."""
    return jnp.maximum(jnp.sum(frame_mask, axis=1, keepdims=True), 1)


def _within(
    order: Int[Array, "B F"], frame_mask: Bool[Array, "B F"]
) -> Int[Array, "B F"]:
    return jnp.where(frame_mask, order, jnp.arange(frame_mask.shape[1]))


def _swapped(
    num_chunks: Int[Array, "B"], draws: Float[Array, "B"]
) -> Int[Array, "B N"]:
    """At which turn each chunk comes: one pair of them swapped, by the draw."""
    table = np.tile(np.arange(CHUNKS), (CHUNKS + 1, len(_PAIRS[CHUNKS]), 1))
    for count, pairs in enumerate(_PAIRS):
        for row, (one, other) in enumerate(pairs):
            table[count, row, [one, other]] = other, one
    num_pairs = jnp.array([max(len(pairs), 1) for pairs in _PAIRS])[num_chunks]
    chosen = jnp.minimum(draws * num_pairs, num_pairs - 1).astype(int)
    return jnp.asarray(table)[num_chunks, chosen]


def _first_video(videos: VideoBatch) -> Int[Array, "R 1"]:
    """The first video of each row's group: indices count from there (layout.py)."""
    num_rows, num_videos = len(videos.frame), len(videos.frame_mask)
    group = jnp.arange(num_rows) // (num_rows // videos.num_groups)
    return (group * (num_videos // videos.num_groups))[:, None]
