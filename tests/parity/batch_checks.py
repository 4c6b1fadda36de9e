"""Recorded batches of the model, made again from the least that they hold.

Frames, words and the frames of each subtitle are taken from a batch; our collation
makes positions, masks, gather indices, padding and copies of frames of them anew. So a
wrong value is found even where no result depends on it.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seeded_cases
from parity_harness import Arrays, Case

from data_pipelines import align, official

SPECIAL = official.Special(bos=0, sep=2, pad=1)
"""RoBERTa's, in every recording (README, section 1)."""
MASK = re.compile(r"in\d?/(\w+/)?(att|mask|\w+_masks?)")
Facts = Mapping[str, Any]


def wrong(case: Case, interval: float | None) -> Iterator[str]:
    """What the batches of a case do not have as official collation has it."""
    for name, array in case.arrays.items():
        if MASK.fullmatch(name) and not np.isin(array, (0, 1)).all():
            yield f"{name} is not of 0 and 1"
    for prefix, facts_name in batches(case):
        given, facts = case.under(prefix), case.meta.get(facts_name, {})
        if prefix == "in/query/":
            facts = case.meta.get("in/query_meta", {})
        for name, made in remade(given, facts, interval).items():
            same = (
                np.array_equal(given[name], made)
                if name in given
                else facts.get(name) == made
            )
            if not same:
                yield f"{prefix}{name} is not what its batch makes it"


def batches(case: Case) -> list[tuple[str, str]]:
    """(prefix of the arrays, name of the facts) of every batch of a case."""
    ranks = [(f"in{n}/", f"in{n}_meta") for n in range(len(case.meta))]
    parts = [(f"in/{name}/", f"in/{name}_meta") for name in ("video", "query")]
    found = [pair for pair in (*ranks, *parts) if pair[1] in case.meta]
    return found or [("in/", "in_meta")]


def remade(given: Arrays, facts: Facts, interval: float | None) -> dict[str, Any]:
    """Arrays and facts of a batch as they have to be, by their official names."""
    found: dict[str, Any] = {}
    if "c_v_feats" in given:
        found |= remade_videos(given, facts)
    if "v_feat" in given:
        found |= remade_words(given)
    if "query_input_ids" in given:
        texts = [row[1:] for row in tokens_of(given["query_input_ids"])]
        found |= official.query_arrays(texts, SPECIAL)
    for name in ("qa", "q"):
        if f"{name}_input_ids" in given:
            texts = tokens_of(given[f"{name}_input_ids"])
            found |= official.piece_arrays(texts, SPECIAL, name=name)
    if "cap_input_ids" in given:
        found |= remade_captions(given)
    if "clip_ranges" in facts:
        found |= remade_moments(given, facts, interval)
        spans = [span for of in facts["clip_ranges"] for span in of]
        found["cap_attn_mask"] = official.span_mask(spans)
    if "q_vidx" in given:
        found["q_vidx"] = owners(len(given["q_vidx"]), facts, len(given["c_v_feats"]))
    if "c_v_masks" in given:
        found["f_v_masks"] = remade_frame_masks(given, facts)
    if "shuffled_orders" in given:
        found |= remade_orders(given)
    if "targets" in given and given["targets"].shape[1:] == (2,):
        found["targets"] = possible_spans(given)
    return found


def tokens_of(ids: np.ndarray) -> list[np.ndarray]:
    """Each row up to its last token that is no padding."""
    ends = (np.flatnonzero(row != SPECIAL.pad) for row in ids)
    return [row[: end[-1] + 1 if end.size else 0] for row, end in zip(ids, ends)]


def num_real(features: np.ndarray, is_masked: np.ndarray | None = None) -> list[int]:
    """Frames of each row: those behind its last that is not of zeros, or is hidden."""
    is_real = np.any(features != 0, axis=-1)
    if is_masked is not None:
        is_real |= is_masked
    return [int(np.flatnonzero(row)[-1]) + 1 if row.any() else 0 for row in is_real]


def remade_videos(given: Arrays, facts: Facts) -> dict[str, Any]:
    rows = iter(tokens_of(given["f_sub_input_ids"]))
    lengths = num_real(given["c_v_feats"], given.get("c_v_masks"))
    items, numbered = [], []
    for features, count, subtitles in zip(
        given["c_v_feats"], lengths, facts["sub_idx2frame_idx"], strict=True
    ):
        texts = list(itertools.islice(rows, len(subtitles)))
        items.append(video_item(texts, subtitles, features[:count]))
        numbered.append([[n, frames] for n, (_, frames) in enumerate(subtitles)])
    return official.video_arrays(items, SPECIAL) | {
        "num_subs": [len(item.rows) for item in items],
        "sub_idx2frame_idx": numbered,
    }


def video_item(
    texts: Sequence[np.ndarray], subtitles: Sequence[Any], features: np.ndarray
) -> official.Item:
    """One video of its rows' texts, which begin with `</s>`; `<s>` is a video alone."""
    if [list(text) for text in texts] == [[SPECIAL.bos]]:
        return official.video_only_item(features, SPECIAL)
    record = {
        "input_ids": [list(text[1:]) for text in texts],
        "unique_sub2frames": subtitles,
    }
    return official.video_item(record, features, SPECIAL, max_frames=None)


def remade_words(given: Arrays) -> dict[str, Any]:
    """Rows of `mlm`, whose frames are their own; a row without any has a masked one."""
    texts = tokens_of(given["input_ids"])
    counts = num_real(given["v_feat"])
    masks = [
        np.array([count > 0] * max(count, 1) + [True] * len(text), np.int64)
        for count, text in zip(counts, texts)
    ]
    frames = [max(count, 1) for count in counts]
    rows = official.row_arrays(texts, frames, masks, SPECIAL)
    names = {
        "f_sub_input_ids": "input_ids",
        "f_sub_pos_ids": "position_ids",
        "f_attn_masks": "attn_masks",
        "f_gather_index": "gather_index",
    }
    features = [row[:count] for row, count in zip(given["v_feat"], frames)]
    return {ours: rows[name] for name, ours in names.items()} | {
        "v_feat": official.padded(features, 0)
    }


def remade_captions(given: Arrays) -> dict[str, Any]:
    """What is read is what is predicted, one word later, behind `<s>`."""
    targets = [list(row[row >= 0]) for row in given["cap_tgt_ids"]]
    texts = [row[:-1] if row[-1] == SPECIAL.sep else row for row in targets]
    length = given["cap_tgt_ids"].shape[1]
    return official.caption_arrays(texts, SPECIAL, max_tokens=length)


def remade_moments(
    given: Arrays, facts: Facts, interval: float | None
) -> dict[str, Any]:
    """What is said of the captioned moments, beside their frames."""
    if "all_ts" not in facts or interval is None:
        return {}
    owners = [name for name, _ in itertools.groupby(facts["vid_names"])]
    counts = [len(spans) for spans in facts["clip_ranges"]]
    times = iter(facts["all_ts"])
    return {
        "clip_ranges": [
            [[*moment(next(times), count, interval)] for _ in spans]
            for spans, count in zip(facts["clip_ranges"], num_real(given["c_v_feats"]))
        ],
        "vid_names": [v for v, count in zip(owners, counts) for _ in range(count)],
    }


def moment(times: Sequence[float], num_frames: int, interval: float) -> tuple[int, int]:
    start, end = times
    size = {"num_frames": num_frames, "interval": interval}
    return align.span_of_caption(start, end, **size)


def owners(num_queries: int, facts: Facts, num_videos: int) -> np.ndarray:
    """Equal blocks of queries, in the order of the videos; of equal videos the last."""
    names = facts.get("vids", list(range(num_videos)))
    asked = np.repeat(np.arange(len(names)), num_queries // len(names))
    return official.query_positions([names[i] for i in asked], names)


def remade_frame_masks(given: Arrays, facts: Facts) -> np.ndarray:
    """Frames hidden in a video are hidden in its rows."""
    hidden = [
        mask[frames] if frames else np.zeros(1, bool)
        for mask, subtitles in zip(given["c_v_masks"], facts["sub_idx2frame_idx"])
        for _, frames in subtitles
    ]
    return official.padded(hidden, False)


def remade_orders(given: Arrays) -> dict[str, Any]:
    """Every place is taken once; a target is where the frame in its place was."""
    source = np.argsort(given["shuffled_orders"], axis=1)
    targets = np.where(given["targets"] >= 0, source, -1)
    return seeded_cases.ordered_pairs(targets) | {
        "shuffled_orders": np.argsort(source, axis=1),
        "targets": targets,
    }


def possible_spans(given: Arrays) -> np.ndarray:
    """Targets, -9 for those that end before they start or behind their video.

    Either end may be -1, which is none.
    """
    start, end = given["targets"].T
    lengths = given["c_attn_masks"].sum(axis=1)[given["q_vidx"]]
    is_ordered = (start <= end) | (end == -1)
    is_possible = is_ordered & (np.minimum(start, end) >= -1) & (end < lengths)
    return np.where(is_possible[:, None], given["targets"], -9)
