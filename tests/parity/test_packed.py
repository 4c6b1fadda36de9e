"""The packed layout against the official padded one, on every real slot.

The same videos and queries as in the recorded batches, but several segments a row and
boolean masks. The padding leak of the span logits (H-12) is taken out of both sides.
"""

import dataclasses
import re

import jax
import numpy as np
from hand_packing import HandVideo, first_fit, pack_texts, pack_videos
from parity_cases import (
    RETRIEVAL,
    batches_of,
    common_sizes,
    forward,
    predict_and_pull,
    videos_of,
)
from parity_harness import compare

from hero_jax import pretrained
from hero_jax.model.hero import Hero
from hero_jax.model.official import row_batch, text_batch


def ours(golden, stem):
    """Our own mode with the recorded weights."""
    config = dataclasses.replace(golden.config(stem), official=False, unused_words=0)
    return Hero(config), pretrained.from_official(golden.weights(stem), config)


def segments_of(videos):
    """(video, frames, tokens) of every row of a padded batch."""
    num_frames = videos.features.shape[1]
    for frame, segment, tokens in zip(videos.frame, videos.segment, videos.tokens):
        is_real = segment > 0
        flat = frame[is_real & (frame >= 0)]
        video = flat[0] // num_frames if len(flat) else 0  # without frames: anyone's
        yield video, flat % num_frames, tokens[is_real & (frame < 0)]


def hand_videos(videos):
    segments = [[] for _ in videos.features]
    for video, frames, tokens in segments_of(videos):
        segments[video].append((frames, tokens))
    real = zip(videos.features, videos.frame_mask, segments)
    return [HandVideo(features[mask], own) for features, mask, own in real]


def hand_texts(texts):
    return [tokens[mask > 0] for tokens, mask in zip(texts.tokens, texts.segment)]


def packed(golden, videos, texts, num_frames):
    """The same batch packed, padded so that one program serves all of a set."""
    sizes = common_sizes(golden)
    rows = {"num_rows": sizes.rows, "length": 3 * sizes.slots}
    frames = {"num_frames": num_frames, "num_videos": sizes.videos}
    return (
        pack_videos(hand_videos(videos), **rows, **frames),
        pack_texts(hand_texts(texts), **rows, num_queries=sizes.queries),
    )


def retrieval_batches(golden):
    """(case, its weights, batch) of every batch recorded with a retrieval case."""
    for case in cases(golden, RETRIEVAL):
        for batch in batches_of(case):
            yield case, case.meta["weights"], batch


def hidden_states(golden, stem, batch, method):
    hero, params = ours(golden, stem)
    apply = jax.jit(lambda p, b: hero.apply({"params": p}, b, method=method))
    return np.asarray(apply(params, batch))


def split(rows, sizes, length):
    """The packed segments of rows, in the order in which they were packed."""
    return [rows[r, o : o + n] for n, (r, o) in zip(sizes, first_fit(sizes, length))]


def cases(golden, pattern):
    """The cases of the set whose whole name fits."""
    return [golden.case(n) for n in golden.names() if re.fullmatch(pattern, n)]


def test_hidden_states_of_subtitles_are_the_recorded_ones(golden):
    for case in cases(golden, "fenc_repr|fenc_repr_grad"):
        expected, actual = subtitle_states(golden, case)
        assert not compare(case.name, actual, expected, 1e-5)


def subtitle_states(golden, case):
    """Recorded and packed hidden states of the real slots, row after row."""
    padded = row_batch(case.inputs)
    hand = hand_videos(padded)
    sizes = [len(f) + len(t) for video in hand for f, t in video.segments]
    length = 2 * max(sizes)
    batch = pack_videos(
        hand, num_frames=padded.features.shape[1], num_rows=len(sizes), length=length
    )
    rows = hidden_states(golden, case.meta["weights"], batch, "cross_modal_rows")
    assert len({row for row, _ in first_fit(sizes, length)}) < len(sizes)
    # A row whose only frame is a masked stand-in has none here; its words come along.
    owners = [video for video, *_ in segments_of(padded)]
    in_order = [np.flatnonzero(np.array(owners) == v) for v in range(len(hand))]
    recorded = case.expected("float32")["sequence_output"]
    expected = [
        recorded[row][case.inputs["f_attn_masks"][row] > 0]
        for row in np.concatenate(in_order)
    ]
    return np.concatenate(expected), np.concatenate(split(rows, sizes, length))


def test_hidden_states_of_texts_are_the_recorded_ones(golden):
    names = ("input_ids", "pos_ids", "attn_masks")
    for case in cases(golden, "fenc_txt"):
        texts = hand_texts(text_batch(*(case.inputs[n] for n in names)))
        sizes = list(map(len, texts))
        length = 2 * max(sizes)
        batch = pack_texts(texts, num_rows=len(texts), length=length)
        rows = hidden_states(golden, case.meta["weights"], batch, "encode_texts")
        expected = case.expected("float32")["sequence_output"]
        expected = expected[case.inputs["attn_masks"] > 0]
        actual = np.concatenate(split(rows, sizes, length))
        assert not compare(case.name, actual, expected, 1e-5)


def test_frames_queries_scores_and_spans_are_the_official_ones(golden):
    batches = list(retrieval_batches(golden))
    longest = max(videos.features.shape[1] for _, _, (videos, _) in batches)
    found = []
    for case, stem, batch in batches:
        official = forward(golden, stem, "float32", batch)
        mask, num_queries = batch[0].frame_mask, len(batch[1].row)
        expected = real_parts(official.predictions, num_queries, mask)
        expected |= spans_without_leak(golden, stem, official, mask)
        actual, _ = run_packed(golden, stem, batch, longest)
        actual = real_parts(actual, num_queries, mask)
        for name in actual:
            differences = compare(name, actual[name], expected[name], 1e-5)
            found += [f"{case.name}: {difference}" for difference in differences]
    assert not found, "\n".join(found)


def test_frames_of_the_hierarchy_are_the_recorded_ones(golden):
    batches = list(retrieval_batches(golden))
    longest = max(videos.features.shape[1] for _, _, (videos, _) in batches)
    texts = batches[0][2][1]
    for case in cases(golden, "hier_repr(?!_grad).*"):
        videos = videos_of(case.inputs, case.meta["in_meta"])
        stem, mask = case.meta["weights"], videos.frame_mask
        actual, _ = run_packed(golden, stem, (videos, texts), longest)
        actual = actual["frame_embeddings"][: len(mask), : mask.shape[1]][mask]
        expected = case.expected("float32")["repr"][mask]
        assert not compare(case.name, actual, expected, 1e-5)


def test_gradients_are_the_official_ones(golden):
    """Of random projections of the real frames, the queries and the scores."""
    batches = list(retrieval_batches(golden))
    longest = max(videos.features.shape[1] for _, _, (videos, _) in batches)
    rng = np.random.default_rng(0)
    found = []
    for case, stem, batch in batches:
        mask = batch[0].frame_mask
        official = forward(golden, stem, "float32", batch)
        names = ("frame_embeddings", "modularized_query", "q2video_scores")
        weights = {
            name: rng.standard_normal(official.predictions[name].shape, np.float32)
            for name in names
        }
        weights["frame_embeddings"] *= mask[..., None]
        expected = official.pull(weights)
        _, actual = run_packed(golden, stem, batch, longest, weights)
        total = np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in expected.values()))
        for name, gradient in expected.items():
            limit = max(1e-4 * np.abs(gradient).max(), 1e-6 * total)
            if not (worst := np.abs(actual[name] - gradient).max()) <= limit:
                found.append(f"{case.name}: {name} off by {worst}, allowed {limit}")
    assert not found, "\n".join(found)


def run_packed(golden, stem, batch, longest, weights=None):
    """Our predictions of a batch, and the gradient of their sum with weights."""
    hero, params = ours(golden, stem)
    videos, texts = packed(golden, *batch, longest)
    (B, F, _), D = videos.features.shape, hero.config.width
    shapes = {
        "frame_embeddings": (B, F, D),
        "query_txt": (*texts.tokens.shape, D),
        "modularized_query": (len(texts.row), D),
        "q2video_scores": (len(texts.row), B),
        "st_logits": (len(texts.row), B, F),
        "ed_logits": (len(texts.row), B, F),
    }
    cotangents = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for name, array in (weights or {}).items():
        cotangents[name][tuple(map(slice, array.shape))] = array
    outputs, gradient = predict_and_pull(hero, params, videos, texts, cotangents)
    return jax.tree.map(np.asarray, outputs), pretrained.to_official(gradient)


def real_parts(predictions, num_queries, frame_mask):
    """Predictions where the batch has queries, videos and frames."""
    (B, F), Q = frame_mask.shape, num_queries
    return {
        "frames": predictions["frame_embeddings"][:B, :F][frame_mask],
        "queries": predictions["modularized_query"][:Q],
        "scores": predictions["q2video_scores"][:Q, :B],
        "start": predictions["st_logits"][:Q, :B, :F][:, frame_mask],
        "end": predictions["ed_logits"][:Q, :B, :F][:, frame_mask],
    }


def spans_without_leak(golden, stem, official, frame_mask):
    """Official span logits where similarities beyond the end are zero."""
    hero = Hero(golden.config(stem))
    params = pretrained.from_official(golden.weights(stem), hero.config)
    frames = official.predictions["frame_embeddings"] * frame_mask[..., None]
    queries = official.predictions["modularized_query"]
    start, end = hero.apply(
        {"params": params}, queries, frames, frame_mask, method="all_span_logits"
    )
    return {
        "start": np.asarray(start)[:, frame_mask],
        "end": np.asarray(end)[:, frame_mask],
    }
