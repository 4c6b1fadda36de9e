"""Ragged segments in, rows of fixed length out (architecture.md, section 5).

Everything here is numpy and knows no model: it decides where each segment goes and
fills the arrays of `model/layout.py`.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines.readers.errors import InputError
from hero_jax.model.layout import TextBatch, VideoBatch

Index = np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Segment:
    """A subtitle's tokens and the frames it is spoken over; either may be empty."""

    tokens: np.ndarray
    frames: np.ndarray
    """Frame indices within the video."""
    first_token: int = 0
    """Position of the first token; not 0 where a long segment was split."""
    first_frame: int = 0

    def __len__(self) -> int:
        return len(self.tokens) + len(self.frames)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one segment went."""

    row: int
    offset: int
    segment: int


def split(segment: Segment, row_length: int) -> list[Segment]:
    """A segment as pieces that each fit a row; most segments are one piece.

    Frames and tokens are shared out in order and in proportion, so that every piece
    of a long line is still read beside the frames it is spoken over.
    """
    if len(segment) <= row_length:
        return [segment]
    num_pieces = -(-len(segment) // row_length)
    while True:
        tokens = np.array_split(segment.tokens, num_pieces)
        frames = np.array_split(segment.frames, num_pieces)
        if len(tokens[0]) + len(frames[0]) <= row_length:  # the first are the longest
            break
        num_pieces += 1
    starts = lambda parts: itertools.accumulate([0] + [len(p) for p in parts[:-1]])
    return [
        Segment(t, f, segment.first_token + first_t, segment.first_frame + first_f)
        for t, f, first_t, first_f in zip(
            tokens, frames, starts(tokens), starts(frames)
        )
    ]


def with_context(segments: Sequence[Segment], count: int) -> Sequence[Segment]:
    """Segments whose text begins with that of up to `count` before them (B.4)."""
    if not count:
        return segments
    spoken = [segment.tokens for segment in segments]
    read = lambda i: np.concatenate(spoken[max(0, i - count) : i + 1])
    return [Segment(read(i), one.frames) for i, one in enumerate(segments)]


def best_fit(sizes: Sequence[int], row_length: int) -> tuple[list[Place], int]:
    """Places items into as few rows as best-fit-decreasing finds; also their count.

    Deterministic: equal sizes keep their order. `room` is a bit set of the amounts of
    free space that some row has, so the tightest fit is one bit operation. Raises
    InputError for an item that no row holds (segments are split before, not queries).
    """
    if len(sizes) and max(sizes) > row_length:
        raise InputError(
            f"row_length: found {row_length}, but a text has {max(sizes)} tokens; make "
            "rows longer, or cut texts with max_query_tokens"
        )
    places: list[Place | None] = [None] * len(sizes)
    free: list[list[int]] = [[] for _ in range(row_length + 1)]
    filled: list[int] = []  # segments in each row so far
    room = 0
    for item in np.argsort(-np.asarray(sizes), kind="stable").tolist():
        size = int(sizes[item])
        fitting = room >> size << size
        if fitting:
            space = (fitting & -fitting).bit_length() - 1
            row = free[space].pop()
            if not free[space]:
                room &= ~(1 << space)
        else:
            row, space = len(filled), row_length
            filled.append(0)
        filled[row] += 1
        places[item] = Place(row, row_length - space, filled[row])
        left = space - size
        free[left].append(row)
        room |= 1 << left
    return places, len(filled)  # type: ignore[return-value]


def balance(costs: Sequence[int | float], num_bins: int) -> list[list[int]]:
    """Items in `num_bins` equally long lists whose sums of cost are nearly equal.

    Longest-processing-time-first with a cap on the count, then swaps between the
    largest and the smallest sum; `len(costs)` must be a multiple of `num_bins`.
    """
    weights = np.asarray(costs, float)
    return _evened(_longest_first(weights, num_bins), weights)


def _longest_first(costs: np.ndarray, num_bins: int) -> list[list[int]]:
    """Each item, longest first, into the smallest sum that has room."""
    capacity, extra = divmod(len(costs), num_bins)
    assert not extra, f"{len(costs)} items do not fill {num_bins} equal bins"
    bins: list[list[int]] = [[] for _ in range(num_bins)]
    totals = np.zeros(num_bins)
    for item in np.argsort(-costs, kind="stable").tolist():
        chosen = int(np.argmin(totals))
        bins[chosen].append(item)
        totals[chosen] += costs[item]
        if len(bins[chosen]) == capacity:
            totals[chosen] = np.inf
    return bins


def _evened(bins: list[list[int]], costs: np.ndarray) -> list[list[int]]:
    """Swaps what halves the gap between the extreme sums best, while it shrinks."""
    totals = np.array([costs[one].sum() for one in bins])
    for _ in range(4 * len(bins)):
        high, low = int(totals.argmax()), int(totals.argmin())
        gap = totals[high] - totals[low]
        moved = costs[bins[high]][:, None] - costs[bins[low]][None, :]
        left = np.abs(gap - 2 * moved)
        i, j = np.unravel_index(left.argmin(), left.shape)
        if left[i, j] >= gap:
            break
        bins[high][i], bins[low][j] = bins[low][j], bins[high][i]
        totals[high] -= moved[i, j]
        totals[low] += moved[i, j]
    return bins


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """The places of one group's items, and what they belong to."""

    places: list[Place]
    num_rows: int


def plan_groups(groups: Sequence[Sequence[int]], row_length: int) -> list[Plan]:
    """One plan per group of item sizes; a group's items stay in its own rows."""
    return [Plan(*best_fit(sizes, row_length)) for sizes in groups]


def fit(needed: int, capacity: Mapping[str, int], part: str) -> int:
    """The static size for `needed`: the planned one, or an eighth more at a time.

    An overflow costs a second compilation and is logged by the pipeline; nothing is
    ever dropped to avoid it. Without a plan the size is as small as fits. Every size
    is a multiple of `capacity["multiple"]`, which the data axis asks for.
    """
    multiple = capacity.get("multiple", 1)
    size = capacity.get(part) or round_up(needed, multiple)
    step = round_up(size / 8, multiple)
    return size + step * max(0, -(-(needed - size) // step))


def round_up(value: int | float, multiple: int) -> int:
    """The smallest positive multiple of `multiple` that is at least `value`."""
    return max(1, math.ceil(value / multiple)) * multiple


def text_rows(
    texts: Sequence[Sequence[np.ndarray]],
    plans: Sequence[Plan],
    *,
    num_rows: int,
    row_length: int,
    pad: int,
) -> TextBatch:
    """Groups of texts as packed rows; an empty text becomes a padding query.

    `num_rows` counts one group's rows.
    """
    num_groups, num_texts = len(texts), len(texts[0])
    shape = (num_groups * num_rows, row_length)
    tokens = np.full(shape, pad, np.int32)
    segment, position = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    row = np.zeros((num_groups, num_texts), np.int32)
    segment_of = np.zeros((num_groups, num_texts), np.int32)
    for group, (members, plan) in enumerate(zip(texts, plans)):
        base = group * num_rows
        real = [q for q, text in enumerate(members) if len(text)]
        for q, place in zip(real, plan.places):
            text = members[q]
            slots = slice(place.offset, place.offset + len(text))
            tokens[base + place.row, slots] = text
            segment[base + place.row, slots] = place.segment
            position[base + place.row, slots] = np.arange(len(text))
            row[group, q], segment_of[group, q] = place.row, place.segment
    return TextBatch(
        tokens, segment, position, row.ravel(), segment_of.ravel(), num_groups
    )


def video_rows(
    videos: Sequence[Sequence[Sequence[Segment]]],
    features: np.ndarray,
    frame_mask: np.ndarray,
    plans: Sequence[Plan],
    *,
    num_rows: int,
    row_length: int,
    pad: int,
    has_one_owner: bool,
    num_subtitles: int | None = None,
    sees_frames: bool = True,
) -> VideoBatch:
    """Groups of videos, each a list of segments, as packed rows.

    Args:
        features: [B F E], the groups one after another.
        num_rows: rows of one group.
        has_one_owner: promises that no frame is in two segments, so that one gather
            brings the rows back onto the frames; checked.
        num_subtitles: room for the places of a video's subtitles; more where more are
            needed, None where nobody asks.
        sees_frames: false where subtitles alone are read.
    """
    num_groups = len(videos)
    num_videos, num_frames = frame_mask.shape
    shape = (num_groups * num_rows, row_length)
    tokens = np.full(shape, pad, np.int32)
    segment, position = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    frame = np.full(shape, -1, np.int32)
    owner = np.full((num_groups, num_videos // num_groups * num_frames), -1, np.int32)
    num_owned = 0
    most = max((len(segments) for members in videos for segments in members), default=0)
    subtitle = np.full((num_videos, max(num_subtitles or 0, most)), -1, np.int32)
    for group, (members, plan) in enumerate(zip(videos, plans)):
        base, places = group * num_rows, iter(plan.places)
        for b, segments in enumerate(members):
            for number, piece in enumerate(segments):
                place = next(places)
                row, start = base + place.row, place.offset
                middle, end = start + len(piece.frames), start + len(piece)
                segment[row, start:end] = place.segment
                position[row, start:middle] = piece.first_frame + np.arange(
                    middle - start
                )
                position[row, middle:end] = piece.first_token + np.arange(end - middle)
                flat = b * num_frames + piece.frames
                frame[row, start:middle] = flat
                tokens[row, middle:end] = piece.tokens
                if len(piece.tokens):
                    first = place.row * row_length + middle
                    subtitle[group * len(members) + b, number] = first
                owner[group, flat] = place.row * row_length + np.arange(start, middle)
                num_owned += len(flat)
    if has_one_owner and num_owned != int((owner >= 0).sum()):
        raise ValueError("a frame is in two segments although one owner was promised")
    return VideoBatch(
        features,
        frame_mask,
        tokens,
        segment,
        position,
        frame,
        owner.reshape(num_videos, num_frames) if has_one_owner else None,
        num_groups,
        None if num_subtitles is None else subtitle,
        sees_frames,
    )


def token_values(
    videos: Sequence[Sequence[Segment]],
    values: Sequence[Sequence[np.ndarray]],
    plan: Plan,
    *,
    num_rows: int,
    row_length: int,
    empty: int,
) -> np.ndarray:
    """One value per token of one group's segments, laid out like its rows, [R L]."""
    rows = np.full((num_rows, row_length), empty, np.int32)
    segments = (s for video in videos for s in video)
    flat_values = (v for video in values for v in video)
    for place, segment, value in zip(plan.places, segments, flat_values):
        start = place.offset + len(segment.frames)
        rows[place.row, start : start + len(value)] = value
    return rows


def fill(segment: np.ndarray) -> float:
    """Real slots / (rows x L) of packed rows."""
    return float(np.mean(segment > 0))
