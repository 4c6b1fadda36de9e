"""Pre-training samples and batches as the official code draws and builds them.

All draws of an item come from one `random.Random`, in the official order, so that a
seed gives the official samples. Training draws from the pipeline's own generator
unless a task is told `draws_officially`; batches are those of `official.py`, padded.
"""

import dataclasses
import random
from collections.abc import Sequence

import numpy as np

from data_pipelines import official
from data_pipelines.official import Batch, Item, Record, Span, Special

IGNORED = -1
MAX_TOKENS = 60
"""Of one subtitle in the tasks about words; elsewhere subtitles stay whole."""


# --- draws --------------------------------------------------------------------------


def hidden_tokens(
    tokens: Sequence[int] | np.ndarray,
    rng: random.Random,
    *,
    rate: float,
    mask_id: int,
    ordinary: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens with some hidden, and their labels (C.2): T.8.

    One draw a token, and one more for the tenth of the hidden that another replaces.
    """
    shown, labels = np.array(tokens, np.int64), np.full(len(tokens), IGNORED, np.int64)
    for place, token in enumerate(tokens):
        u = rng.random()
        if u >= rate:
            continue
        labels[place] = token
        if u / rate < 0.8:
            shown[place] = mask_id
        elif u / rate < 0.9:
            shown[place] = rng.choice(range(*ordinary))
    if (labels == IGNORED).all():
        shown[0], labels[0] = mask_id, tokens[0]
    return shown, labels


def masked_frames(num_frames: int, draws: random.Random, *, rate: float) -> np.ndarray:
    """Which frames are hidden, [F]: each by chance, and one at least (C.3)."""
    is_masked = np.array([draws.random() < rate for _ in range(num_frames)])
    if not is_masked.any():
        is_masked[draws.choice(range(num_frames))] = True
    return is_masked


def shuffled_frames(
    num_frames: int, draws: random.Random, *, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """`order` [F], the new place of every frame, and `targets` [F] (C.4): T.8.

    A target is the frame that was moved to a place, which may be the one that was
    there; -1 where no frame was chosen.
    """
    chosen = [f for f in range(num_frames) if draws.random() < rate]
    places = list(chosen)
    draws.shuffle(places)
    order, targets = np.arange(num_frames), np.full(num_frames, IGNORED, np.int64)
    order[chosen] = places
    targets[places] = chosen
    return order, targets


def held_out(
    candidates: Sequence[int], draws: random.Random, *, count: int
) -> list[int]:
    """Which of the subtitles become queries, in their own order (C.5)."""
    return sorted(draws.sample(list(candidates), min(count, len(candidates))))


# --- batches ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded:
    """One video as the official databases hold it."""

    record: Record
    features: np.ndarray
    """Cut to `max_frames`."""
    max_frames: int
    context: int = 0
    """Earlier subtitles whose text is read with each one."""

    def item(self, special: Special) -> Item:
        return official.video_item(
            self.record,
            self.features,
            special,
            max_frames=self.max_frames,
            context=self.context,
        )

    def with_texts(self, texts: Sequence[Sequence[int]]) -> "Recorded":
        record = {**self.record, "input_ids": list(texts)}
        return dataclasses.replace(self, record=record)

    def cut(self) -> "Recorded":
        """No subtitle longer than MAX_TOKENS."""
        return self.with_texts([ids[:MAX_TOKENS] for ids in self.record["input_ids"]])


def mlm_arrays(
    videos: Sequence[Recorded],
    special: Special,
    draws: random.Random,
    *,
    rate: float,
    mask_id: int,
    ordinary: tuple[int, int],
) -> Batch:
    """Every subtitle of the videos a row behind `<s>` (H-13), with hidden tokens."""
    rows = [row for video in videos for row in video.cut().item(special).rows]
    tokens, labels = [], []
    for row in rows:
        shown, label = hidden_tokens(
            row.tokens[1:].tolist(),
            draws,
            rate=rate,
            mask_id=mask_id,
            ordinary=ordinary,
        )
        tokens.append(np.concatenate([[special.bos], shown]))
        num_frames = len(row.features)
        labels.append(np.concatenate([np.full(num_frames + 1, IGNORED), label]))
    features, masks = [row.features for row in rows], [row.mask for row in rows]
    arrays = official.row_arrays(tokens, list(map(len, features)), masks, special)
    targets = official.padded(labels, IGNORED)
    return {
        "input_ids": arrays["f_sub_input_ids"],
        "position_ids": np.arange(arrays["f_sub_input_ids"].shape[1])[None],
        "v_feat": official.padded(features, 0),
        "attn_masks": arrays["f_attn_masks"],
        "gather_index": arrays["f_gather_index"],
        "txt_mask_tgt": targets != IGNORED,
        "txt_labels": targets[targets != IGNORED],
    }


def mfm_arrays(
    videos: Sequence[Recorded], special: Special, draws: random.Random, *, rate: float
) -> tuple[Batch, list[Item]]:
    """Hidden frames are zero in both towers; their raw features are the targets."""
    masks = [masked_frames(len(v.features), draws, rate=rate) for v in videos]
    items = [
        dataclasses.replace(
            video, features=np.where(mask[:, None], 0, video.features)
        ).item(special)
        for video, mask in zip(videos, masks)
    ]
    rows = [
        row for item, mask in zip(items, masks) for row in _masks_of_rows(item, mask)
    ]
    targets = [video.features[mask] for video, mask in zip(videos, masks)]
    return official.video_arrays(items, special) | {
        "f_v_masks": official.padded(rows, 0),
        "c_v_masks": official.padded(masks, 0),
        "feat_targets": np.concatenate(targets),
    }, items


def _masks_of_rows(item: Item, mask: np.ndarray) -> list[np.ndarray]:
    """Which frame slots of each row are hidden; a zero stand-in is not."""
    kept = [[f for f in frames if f < len(mask)] for _, frames in item.frames]
    return [mask[frames] if frames else np.zeros(1, bool) for frames in kept]


def fom_arrays(
    videos: Sequence[Recorded], special: Special, draws: random.Random, *, rate: float
) -> tuple[Batch, list[Item]]:
    """Every frame's new place, and what is to be told of each place."""
    drawn = [shuffled_frames(len(v.features), draws, rate=rate) for v in videos]
    items = [video.item(special) for video in videos]
    targets = official.padded([targets for _, targets in drawn], IGNORED)
    orders = np.tile(np.arange(targets.shape[1]), (len(videos), 1))
    for row, (order, _) in zip(orders, drawn):
        row[: len(order)] = order  # padding stays where it is
    return official.video_arrays(items, special) | {
        "shuffled_orders": orders,
        "targets": targets,
    }, items


def vsm_arrays(
    videos: Sequence[Recorded], special: Special, draws: random.Random, *, count: int
) -> tuple[Batch, list[Item]]:
    """`count` subtitles of each video as queries; their text is hidden in the video."""
    items, queries, spans = [], [], []
    for video in map(Recorded.cut, videos):
        texts = video.record["input_ids"]
        frames = dict(video.item(special).frames)
        asked = held_out([i for i in frames if frames[i]], draws, count=count)
        hidden = [[] if i in asked else ids for i, ids in enumerate(texts)]
        items.append(video.with_texts(hidden).item(special))
        repeated = asked + asked[-1:] * (count - len(asked))
        queries += [texts[i] for i in repeated]
        spans += [span_of(frames[i], len(video.features)) for i in repeated]
    return (
        official.video_arrays(items, special)
        | official.query_arrays(queries, special)
        | {
            "q_vidx": np.repeat(np.arange(len(videos)), count),
            "targets": np.array(spans, np.int64),
        }
    ), items


def span_of(frames: Sequence[int], num_frames: int) -> Span:
    """First matched frame; last one, or the next where that is the first (C.5)."""
    return frames[0], min(max(frames[0] + 1, frames[-1]), num_frames - 1)
