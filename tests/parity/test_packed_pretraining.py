"""The pre-training tasks on packed rows against the official padded ones.

The recorded batches again, with several segments a row, videos padded further and
boolean masks: predictions on every real slot, and gradients of the losses (on both
sides with real frames alone as negatives, H-8).
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from hand_packing import pack_videos
from parity_cases import load, word_batch
from parity_harness import compare
from pretraining_cases import masked_batch, order_batch, predictor
from test_packed import cases, hand_videos, hidden_states, ours, segments_of, split

from hero_jax import pretrained
from hero_jax.losses.regression import FrameDistance
from hero_jax.model.hero import Hero
from hero_jax.tasks.fom import Fom
from hero_jax.tasks.mfm import Mfm
from hero_jax.tasks.source import Source

NO_SOURCE = Source(directory=Path(), dataset="", tokenizer=Path())
TASKS = {
    "mffr": Mfm(source=NO_SOURCE, objective=FrameDistance()),
    "mfm_nce": Mfm(source=NO_SOURCE),
    "fom": Fom(source=NO_SOURCE),
}


def packed(videos, num_frames):
    hand = hand_videos(videos)
    sizes = segment_sizes(hand)
    length = 3 * max(sizes)
    return pack_videos(hand, num_frames=num_frames, num_rows=len(sizes), length=length)


def segment_sizes(hand):
    return [len(f) + len(t) for video in hand for f, t in video.segments]


def padded_and_packed(case):
    """The recorded batch, and the same one packed, with three more places a video."""
    batch = order_batch(case) if case.name == "fom" else masked_batch(case)
    num_videos, num_frames = batch.videos.frame_mask.shape
    videos = packed(batch.videos, num_frames + 3)
    longer = lambda values: np.pad(values, [(0, 0), (0, 3)])
    if case.name != "fom":
        is_masked = longer(batch.is_masked)
        frame = np.append(np.flatnonzero(is_masked), -1)  # and one that is none
        return batch, dataclasses.replace(
            batch, videos=videos, is_masked=is_masked, frame=frame
        )
    source = np.tile(np.arange(num_frames + 3), (num_videos, 1))
    source[:, :num_frames] = batch.source
    return batch, dataclasses.replace(
        batch, videos=videos, source=source, is_shuffled=longer(batch.is_shuffled)
    )


def outcome(hero, params, task, batch):
    """Predictions on real frames, the loss and the gradient."""
    predict = predictor(hero, task.head(), batch)

    @jax.jit
    def loss(params):
        predictions = predict(params)
        total, _ = task.loss(predictions, batch, step=np.array(0), key=None)
        return total, predictions

    (total, predictions), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    real = np.asarray(predictions)[batch.videos.frame_mask]
    return real, np.asarray(total), pretrained.to_official(gradient)


@pytest.mark.parametrize("name", TASKS)
def test_frames_losses_and_gradients_are_the_official_ones(golden, name):
    for case in cases(golden, name):
        stem = case.meta["weights"]
        padded, dense = padded_and_packed(case)
        models = load(golden, stem, "float32"), ours(golden, stem)
        expected, actual = (
            outcome(*model, TASKS[name], batch)
            for model, batch in zip(models, (padded, dense))
        )
        assert not compare("frames", actual[0], expected[0], 1e-5)
        assert not compare("loss", actual[1], expected[1], 1e-5)
        total = np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in expected[2].values()))
        for parameter, gradient in expected[2].items():
            limit = max(1e-4 * np.abs(gradient).max(), 1e-6 * total)
            worst = np.abs(actual[2][parameter] - gradient).max()
            assert worst <= limit, f"{parameter} off by {worst}, allowed {limit}"


def test_words_at_masked_slots_are_the_recorded_ones(golden):
    for case in cases(golden, "mlm"):
        rows = word_batch(case.inputs)
        hand = hand_videos(rows)
        dense = packed(rows, rows.features.shape[1])
        hidden = hidden_states(golden, case.meta["weights"], dense, "cross_modal_rows")
        segments = split(hidden, segment_sizes(hand), dense.tokens.shape[1])
        owners = [video for video, *_ in segments_of(rows)]
        of_row = dict(zip(np.argsort(owners, kind="stable"), segments))
        row, slot = np.nonzero(case.inputs["txt_mask_tgt"])
        masked = np.stack([of_row[r][s - shift_of(rows, r)] for r, s in zip(row, slot)])
        config = dataclasses.replace(
            golden.config(case.meta["weights"]), official=False
        )
        params = pretrained.from_official(golden.weights(case.meta["weights"]), config)
        logits = Hero(config).apply({"params": params}, masked, method="word_logits")
        expected = case.expected("float32")["logits"]
        assert not compare("logits", np.asarray(logits), expected, 1e-5)


def shift_of(rows, row):
    """Slots of a row before its first real one: a stand-in for a missing frame."""
    return int((rows.segment[row] > 0).argmax())
