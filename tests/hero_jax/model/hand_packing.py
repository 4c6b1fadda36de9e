"""Batches of the model built slot by slot, independently of the project's packer."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from hero_jax.model.layout import TextBatch, VideoBatch


@dataclasses.dataclass(frozen=True, eq=False)
class HandVideo:
    """Features [num_frames, E], and segments as (frames, tokens)."""

    features: np.ndarray
    segments: Sequence[tuple[Sequence[int], Sequence[int]]]


def first_fit(sizes: Sequence[int], length: int) -> list[tuple[int, int]]:
    """(row, offset) of each item, in rows of `length`."""
    filled: list[int] = []
    places = []
    for size in sizes:
        assert size <= length, f"{size} slots do not fit a row of {length}"
        row = next((r for r, f in enumerate(filled) if f + size <= length), len(filled))
        filled += [0] * (row == len(filled))
        places.append((row, filled[row]))
        filled[row] += size
    return places


def one_each(sizes: Sequence[int], length: int) -> list[tuple[int, int]]:
    """The padded layout: every item in a row of its own."""
    assert max(sizes, default=0) <= length
    return [(row, 0) for row in range(len(sizes))]


def pack_videos(
    videos: Sequence[HandVideo],
    *,
    num_frames: int,
    num_rows: int,
    length: int,
    capacity: int | None = None,
    place=first_fit,
    with_owner: bool = False,
    num_videos: int | None = None,
) -> VideoBatch:
    """One batch; absent videos, frames and rows are padding.

    Only the first `capacity` slots of a row are used.
    """
    num_videos = num_videos or len(videos)
    width = videos[0].features.shape[1]
    features = np.zeros((num_videos, num_frames, width), np.float32)
    frame_mask = np.zeros((num_videos, num_frames), bool)
    owner = np.full((num_videos, num_frames), -1)
    shape = (num_rows, length)
    tokens, segment, position = (np.zeros(shape, int) for _ in range(3))
    frame = np.full(shape, -1)
    items = [(b, *s) for b, video in enumerate(videos) for s in video.segments]
    places = place([len(f) + len(t) for _, f, t in items], capacity or length)
    for b, video in enumerate(videos):
        features[b, : len(video.features)] = video.features
        frame_mask[b, : len(video.features)] = True
    for (b, frames, words), (row, start) in zip(items, places):
        middle, end = start + len(frames), start + len(frames) + len(words)
        segment[row, start:end] = segment[row].max() + 1
        frame[row, start:middle] = b * num_frames + np.asarray(frames, int)
        tokens[row, middle:end] = words
        position[row, start:middle] = np.arange(len(frames))
        position[row, middle:end] = np.arange(len(words))
        owner[b, list(frames)] = row * length + np.arange(start, middle)
    return VideoBatch(
        features,
        frame_mask,
        tokens,
        segment,
        position,
        frame,
        owner if with_owner else None,
    )


def pack_texts(
    texts: Sequence[Sequence[int]],
    *,
    num_rows: int,
    length: int,
    place=first_fit,
    num_queries: int | None = None,
) -> TextBatch:
    num_queries = num_queries or len(texts)
    tokens, segment, position = (np.zeros((num_rows, length), int) for _ in range(3))
    rows, segments = np.zeros(num_queries, int), np.zeros(num_queries, int)
    for q, (words, (row, start)) in enumerate(
        zip(texts, place(list(map(len, texts)), length))
    ):
        end = start + len(words)
        rows[q], segments[q] = row, segment[row].max() + 1
        tokens[row, start:end] = words
        segment[row, start:end] = segments[q]
        position[row, start:end] = np.arange(len(words))
    return TextBatch(tokens, segment, position, rows, segments)


def in_groups(batches: Sequence[VideoBatch]) -> VideoBatch:
    """Batches of equal shape as the groups of one: indices count within each."""
    names = ("features", "frame_mask", "tokens", "segment", "position", "frame")
    arrays = {n: np.concatenate([getattr(b, n) for b in batches]) for n in names}
    owners = [b.owner for b in batches if b.owner is not None]
    owner = np.concatenate(owners) if owners else None
    return VideoBatch(**arrays, owner=owner, num_groups=len(batches))


def texts_in_groups(batches: Sequence[TextBatch]) -> TextBatch:
    names = ("tokens", "segment", "position", "row", "segment_of")
    arrays = {n: np.concatenate([getattr(b, n) for b in batches]) for n in names}
    return TextBatch(**arrays, num_groups=len(batches))
