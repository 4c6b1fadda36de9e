"""What the batches of several tasks share: videos and texts of a group, packed."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.tasks import packing
from hero_jax.tasks.packing import Plan, Segment
from hero_jax.tasks.source import Examples, VideoExample


def collate_videos(
    examples: Examples,
    groups: Sequence[Sequence[tuple[VideoExample | None, Sequence[Segment]]]],
    capacity: Mapping[str, int],
    *,
    local: slice = slice(None),
) -> tuple[VideoBatch, list[Plan]]:
    """Videos with their segments as a packed batch; also where the segments went.

    Args:
        groups: per data shard, videos with the segments to be read.
        local: positions whose frame features are loaded.
    """
    row_length = examples.source.row_length
    segments = [[video[1] for video in group] for group in groups]
    plans = packing.plan_groups(
        [[len(s) for video in group for s in video] for group in segments], row_length
    )
    videos = [video[0] for group in groups for video in group]
    batch = packing.video_rows(
        segments,
        stack_features(examples, videos, local=local),
        frame_mask(videos, examples.max_frames),
        plans,
        num_rows=packing.fit(rows_needed(plans), capacity, "rows"),
        row_length=row_length,
        pad=examples.tokenizer.pad,
        has_one_owner=examples.has_one_owner,
        **reading_of(examples),
    )
    return batch, plans


def reading_of(examples: Examples) -> dict[str, Any]:
    """What of videos is read, as `packing.video_rows` wants to know it."""
    source = examples.source
    return {
        "num_subtitles": examples.max_lines if source.reads_every_line else None,
        "sees_frames": source.channels != "subtitles",
    }


def rows_needed(plans: Sequence[Plan]) -> int:
    """Rows of the fullest group."""
    return max(plan.num_rows for plan in plans)


def collate_texts(
    examples: Examples,
    groups: Sequence[Sequence[np.ndarray]],
    capacity: Mapping[str, int],
) -> tuple[TextBatch, int]:
    """Texts as a packed batch (an empty one is padding); also the rows needed."""
    row_length = examples.source.row_length
    plans = packing.plan_groups(
        [[len(text) for text in group if len(text)] for group in groups], row_length
    )
    batch = packing.text_rows(
        groups,
        plans,
        num_rows=packing.fit(rows_needed(plans), capacity, "query_rows"),
        row_length=row_length,
        pad=examples.tokenizer.pad,
    )
    return batch, rows_needed(plans)


def stack_features(
    examples: Examples, videos: Sequence[VideoExample | None], *, local: slice
) -> np.ndarray:
    """Frame features [B F E], zero beyond each video's end and outside `local`, and
    where subtitles alone are read."""
    shape = (len(videos), examples.max_frames, examples.corpus.feature_width)
    features = np.zeros(shape, np.float32)
    if examples.source.channels == "subtitles":
        return features
    for b in range(*local.indices(len(videos))):
        video = videos[b]
        if video is not None:
            features[b, : video.num_frames] = examples.features(video.index)
    return features


def frame_mask(videos: Sequence[VideoExample | None], max_frames: int) -> np.ndarray:
    """Which frames are real, [B F]; a missing video has none."""
    counts = np.array([video.num_frames if video else 0 for video in videos])
    return np.arange(max_frames) < counts[:, None]


def text_id(tokens: np.ndarray) -> int:
    """A number equal for equal texts (and, once in 2^31 pairs, for others)."""
    return zlib.crc32(tokens.tobytes()) & 0x7FFFFFFF
