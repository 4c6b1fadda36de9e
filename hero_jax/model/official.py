"""The official padded batches, array by array, as the batches of this model.

One segment sits in each row, so padding reaches the same places as in the official
code: with `HeroConfig(official=True)` every slot comes out equal, padding included.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hero_jax.model.layout import TextBatch, VideoBatch

Arrays = Mapping[str, np.ndarray]
"""Official name -> array (hero_spec.md, B.5)."""
Segments = Sequence[Sequence[Any]]
"""For one video: [number of the subtitle, its frames], the `sub_idx2frame_idx`."""


def video_batch(
    arrays: Arrays, segments: Sequence[Segments], num_subtitles: Sequence[int]
) -> VideoBatch:
    """Videos with their frames once; `num_subtitles[b]` rows belong to video b."""
    num_frames = arrays["c_attn_masks"].shape[1]
    frame = np.full_like(arrays["f_gather_index"], -1)
    first_rows = np.cumsum([0, *num_subtitles[:-1]])
    for video, (first_row, subtitles) in enumerate(zip(first_rows, segments)):
        for subtitle, frames in subtitles:
            row = frame[first_row + subtitle]
            row[: len(frames)] = video * num_frames + np.asarray(frames, int)
    frame_mask = arrays["c_attn_masks"] > 0
    return VideoBatch(arrays["c_v_feats"], frame_mask, *_slots(arrays), frame)


def row_batch(arrays: Arrays) -> VideoBatch:
    """The rows alone: each is a video of its own frame slots, padding slots included.

    The cross-modal tower needs no more, and its padded slots, which the official code
    fills with whatever the gather index points at, come out equal as well.
    """
    features = arrays["f_v_feats"]
    num_rows, num_slots, _ = features.shape
    gather_index = arrays["f_gather_index"]
    place = gather_index + num_slots * np.arange(num_rows)[:, None]
    frame = np.where(gather_index < num_slots, place, -1)
    frame_mask = np.ones(features.shape[:2], bool)
    return VideoBatch(features, frame_mask, *_slots(arrays), frame)


def text_batch(tokens: np.ndarray, position: np.ndarray, mask: np.ndarray) -> TextBatch:
    """One text a row; `position` is [1, L] for all of them."""
    return TextBatch(
        tokens=tokens,
        segment=(mask > 0).astype(int),
        position=np.broadcast_to(position, tokens.shape),
        row=np.arange(len(tokens)),
        segment_of=np.ones(len(tokens), int),
    )


def _slots(arrays: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token, segment and position of each slot of a row.

    gather index   0 1 4 5 6 5     with 4 frame slots: two frames, three tokens,
    mask           1 1 1 1 1 0     and a slot that repeats token 1, masked
    """
    gather_index = arrays["f_gather_index"]
    num_frame_slots = arrays["f_v_feats"].shape[1]
    word = np.maximum(gather_index - num_frame_slots, 0)
    is_frame = gather_index < num_frame_slots
    frame_position = arrays["f_v_pos_ids"][0][np.where(is_frame, gather_index, 0)]
    tokens = np.take_along_axis(arrays["f_sub_input_ids"], word, axis=1)
    segment = (arrays["f_attn_masks"] > 0).astype(int)
    word_position = arrays["f_sub_pos_ids"][0][word]
    return tokens, segment, np.where(is_frame, frame_position, word_position)
