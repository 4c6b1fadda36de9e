"""Items and batches as the official code builds them from its decoded records.

The layout is padded: each subtitle of each video is a row, its frames first (B.4-B.8):

    row     0 f f w w w .     f frame slot, w token, . padding
            1 f w w . . .     gather index [0 | 2 3 ...]: text follows the row's own
            2 z w w w w .     frames; z a zero frame, masked, where a subtitle has none

Arrays are int64 and float32, under the official names, so that recorded batches and
released databases compare directly. Training reads `hero_jax.tasks`, not this.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines import align
from data_pipelines.schema import Subtitle

Record = Mapping[str, Any]
"""A decoded record of an official text database (E.3)."""
Batch = dict[str, np.ndarray]
Span = tuple[int, int]

LAST_POSITION = 511
"""Text positions of subtitles, questions and statements stop here (H-65)."""
NO_SPAN = (-1, -1)


@dataclasses.dataclass(frozen=True)
class Special:
    """Special token ids, as a database's `meta.json` has them."""

    bos: int
    sep: int
    pad: int

    @classmethod
    def of(cls, meta: Record) -> "Special":
        return cls(bos=meta["BOS"], sep=meta["SEP"], pad=meta["PAD"])


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One subtitle with its frames; `mask` covers the frames, then the text."""

    tokens: np.ndarray
    features: np.ndarray
    mask: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Item:
    """One video as its dataset hands it out."""

    rows: tuple[Row, ...]
    frames: tuple[tuple[int, list[int]], ...]
    """(subtitle index, its frames) of every row, before those without features go."""
    features: np.ndarray


# --- records ------------------------------------------------------------------------


def joined_features(appearance: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """2D before 3D features, float32, cut to the shorter of the two (B.1)."""
    num_frames = min(len(appearance), len(motion))
    both = (appearance[:num_frames], motion[:num_frames])
    return np.concatenate(both, axis=1).astype(np.float32)


def subtitle_record(
    subtitles: Sequence[Subtitle],
    tokens: Sequence[Sequence[int]],
    *,
    num_frames: int,
    interval: float,
) -> dict[str, Any]:
    """What the official preparation computes for a video of the subtitle database."""
    num_frames = align.official_num_frames(num_frames, subtitles, interval)
    if subtitles and num_frames:
        candidates = align.official_candidates(
            subtitles, num_frames=num_frames, interval=interval
        )
        owned = align.frames_of_subtitles(
            subtitles, num_frames=num_frames, interval=interval, official=True
        )
        taken = {int(frame) for frames in candidates for frame in frames}
        unmatched = [frame for frame in range(num_frames) if frame not in taken]
    else:
        candidates = owned = align.frames_of_wordless_video(num_frames)
        tokens, unmatched = [[] for _ in owned], []
    return {
        "input_ids": [list(ids) for ids in tokens],
        "sub2frames": _pairs(candidates),
        "unique_sub2frames": _pairs(owned),
        "unmatched_frames": unmatched,
        "duration": num_frames,
        "max_mtached_sub_len": max(
            (len(ids) + len(frames) for ids, frames in zip(tokens, candidates)),
            default=0,
        ),
    }


def _pairs(frames: Iterable[np.ndarray]) -> list[list[Any]]:
    return [[index, list(map(int, ones))] for index, ones in enumerate(frames)]


def kept_frames(
    record: Record, max_frames: int | None
) -> tuple[tuple[int, list[int]], ...]:
    """The subtitles left after the run-time cut (B.3); None cuts nothing (H-14)."""
    pairs = record["unique_sub2frames"]
    if max_frames is None:
        return tuple((index, list(frames)) for index, frames in pairs)
    arrays = [np.array(frames, np.int32) for _, frames in pairs]
    kept = align.cut_frames(arrays, max_frames=max_frames, official=True)
    return tuple((pairs[i][0], frames.tolist()) for i, frames in kept)


# --- items --------------------------------------------------------------------------


def video_item(
    record: Record,
    features: np.ndarray,
    special: Special,
    *,
    max_frames: int | None,
    context: int = 0,
    suffix: Sequence[int] = (),
) -> Item:
    """A video with its subtitles (B.4).

    `features` are already cut. A subtitle's text is that of up to `context` earlier
    ones and its own; `suffix` (a question and an answer) ends every row (D.4).
    """
    kept = kept_frames(record, max_frames)
    rows = []
    for index, frames in kept:
        spoken = record["input_ids"][max(0, index - context) : index + 1]
        tokens = [special.sep, *(i for ids in spoken for i in ids), *suffix]
        rows.append(_row(tokens, [f for f in frames if f < len(features)], features))
    return Item(tuple(rows), kept, features)


def _row(tokens: Sequence[int], frames: Sequence[int], features: np.ndarray) -> Row:
    mask = np.ones(max(len(frames), 1) + len(tokens), np.int64)
    chosen = features[list(frames)]
    if not frames:  # A masked frame of zeros stands in.
        mask[0] = 0
        chosen = np.zeros((1, features.shape[1]), features.dtype)
    return Row(np.array(tokens, np.int64), chosen, mask)


def video_only_item(features: np.ndarray, special: Special) -> Item:
    """A video without text: one row that holds `<s>` and every frame (B.7)."""
    everything = list(range(len(features)))
    row = _row([special.bos], everything, features)
    return Item((row,), ((0, everything),), features)


def pieces(texts: Sequence[Sequence[int]], special: Special) -> list[int]:
    """Question and answer, or a statement, each behind its own `</s>` (D.4-D.6)."""
    return [token for text in texts for token in (special.sep, *text)]


# --- batches ------------------------------------------------------------------------


def video_arrays(items: Sequence[Item], special: Special) -> Batch:
    """The padded arrays of some videos (B.5)."""
    rows = [row for item in items for row in item.rows]
    arrays = row_arrays(
        [row.tokens for row in rows],
        [len(row.features) for row in rows],
        [row.mask for row in rows],
        special,
    )
    arrays["f_sub_input_attn_masks"] = padded(
        [np.ones(len(row.tokens), np.int64) for row in rows], 0
    )
    arrays["f_v_feats"] = padded([row.features for row in rows], 0)
    arrays["f_v_pos_ids"] = np.arange(arrays["f_v_feats"].shape[1])[None]
    arrays["c_v_feats"] = padded([item.features for item in items], 0)
    arrays["c_attn_masks"] = padded(
        [np.ones(len(item.features), np.int64) for item in items], 0
    )
    longest = arrays["c_v_feats"].shape[1]
    arrays["c_pos_ids"] = np.tile(np.arange(longest), (len(items), 1))
    return arrays


def row_arrays(
    tokens: Sequence[np.ndarray],
    num_frames: Sequence[int],
    masks: Sequence[np.ndarray],
    special: Special,
) -> Batch:
    """Text, positions, mask and gather index of rows with so many frame slots each."""
    ids = padded(tokens, special.pad)
    mask = padded(masks, 0)
    lengths = [len(row) for row in tokens]
    return {
        "f_sub_input_ids": ids,
        "f_sub_pos_ids": _positions(ids),
        "f_attn_masks": mask,
        "f_gather_index": gather_index(lengths, num_frames, length=mask.shape[1]),
    }


def gather_index(
    num_tokens: Sequence[int], num_frames: Sequence[int], *, length: int
) -> np.ndarray:
    """Where each slot of a row comes from in [frames of the longest row; text] (T.3).

    Slots behind the end keep their own number, and are masked.
    """
    text_starts = max(num_frames)
    index = np.tile(np.arange(length), (len(num_tokens), 1))
    for row, (tokens, frames) in enumerate(zip(num_tokens, num_frames)):
        index[row, frames : frames + tokens] = text_starts + np.arange(tokens)
    return index


def query_arrays(tokens: Sequence[Sequence[int]], special: Special) -> Batch:
    """Queries behind `<s>`, padded (B.9); their positions are not clamped."""
    ids, mask = _texts([[special.bos, *text] for text in tokens], special)
    positions = np.arange(ids.shape[1])[None]
    names = ("query_input_ids", "query_pos_ids", "query_attn_masks")
    return dict(zip(names, (ids, positions, mask)))


def piece_arrays(
    texts: Sequence[Sequence[int]], special: Special, *, name: str
) -> Batch:
    """What `pieces` made, under `<name>_input_ids` and so on: "qa" or "q"."""
    ids, mask = _texts(texts, special)
    return {
        f"{name}_input_ids": ids,
        f"{name}_pos_ids": _positions(ids),
        f"{name}_attn_masks": mask,
    }


def _texts(
    texts: Sequence[Sequence[int]], special: Special
) -> tuple[np.ndarray, np.ndarray]:
    arrays = [np.array(text, np.int64) for text in texts]
    return padded(arrays, special.pad), padded([np.ones_like(a) for a in arrays], 0)


def _positions(ids: np.ndarray) -> np.ndarray:
    return np.minimum(np.arange(ids.shape[1]), LAST_POSITION)[None]


def query_positions(
    query_videos: Sequence[str], batch_videos: Sequence[str]
) -> np.ndarray:
    """Row of each query's video in the batch; of equal videos the last (`q_vidx`)."""
    place = {video: row for row, video in enumerate(batch_videos)}
    return np.array([place[video] for video in query_videos], np.int64)


def caption_arrays(
    captions: Sequence[Sequence[int]], special: Special, *, max_tokens: int
) -> Batch:
    """`<s> caption` to read and `caption </s>` to predict, cut and padded (D.7)."""
    inputs = [[special.bos, *text][:max_tokens] for text in captions]
    targets = [[*text, special.sep][:max_tokens] for text in captions]
    ids, _ = _texts(inputs, special)
    return {
        "cap_input_ids": ids,
        "cap_pos_ids": np.arange(ids.shape[1])[None],
        "cap_tgt_ids": padded([np.array(t, np.int64) for t in targets], -1),
    }


def span_mask(spans: Sequence[Span]) -> np.ndarray:
    """One row per half-open span: ones as long as it is (`cap_attn_mask`)."""
    return padded([np.ones(stop - first, np.int64) for first, stop in spans], 0)


def padded(arrays: Sequence[np.ndarray], filler: int) -> np.ndarray:
    """Stacks arrays whose first axes differ, filled up to the longest."""
    longest = max(len(array) for array in arrays)
    shape = (len(arrays), longest, *arrays[0].shape[1:])
    padded = np.full(shape, filler, arrays[0].dtype)
    for row, array in enumerate(arrays):
        padded[row, : len(array)] = array
    return padded


# --- targets and indices ------------------------------------------------------------


def moment_target(record: Record, *, num_frames: int, interval: float) -> Span:
    """Inclusive span of a query's moment, (-1, -1) without one (D.1, D.3)."""
    if record["target"] is None:
        return NO_SPAN
    start, end = record["target"]
    return align.span_of_moment(start, end, num_frames=num_frames, interval=interval)


def opposite(statement_id: str) -> str:
    """The id of the statement that training pairs with one: -0 and -1 flip (D.6)."""
    stem, truth = statement_id.rsplit("-", 1)
    return f"{stem}-{1 - int(truth)}"


def split_indices(
    durations: Mapping[str, Mapping[str, tuple[float, int]]],
) -> dict[str, dict[str, int]]:
    """Each split's videos by their fixed index (`vid2dur_idx.json`)."""
    return {
        split: {video: index for video, (_, index) in videos.items()}
        for split, videos in durations.items()
    }
