"""A tiny HERO, and what its programs must give for inputs of two sizes."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.model.transformer import TransformerConfig


def config() -> HeroConfig:
    tower = TransformerConfig(width=8, num_heads=2, num_layers=2, mlp_width=12)
    return HeroConfig(
        vocab_size=40, feature_width=5, max_positions=16, cross_modal=tower,
        temporal=tower, query_heads=2,
    )  # fmt: skip


def texts(num_texts, length):
    rng = np.random.default_rng(num_texts)
    tokens = rng.integers(4, 40, (num_texts, length)).astype(np.int32)
    return {"tokens": tokens, "num_tokens": np.arange(1, num_texts + 1, dtype=np.int32)}


def videos(num_videos, num_frames):
    """Every video has one row: its first two frames and three words."""
    rng = np.random.default_rng(num_videos)
    one = np.ones((num_videos, 1), np.int32)
    first = num_frames * np.arange(num_videos, dtype=np.int32)[:, None]
    return {
        "features": rng.standard_normal((num_videos, num_frames, 5)).astype(np.float32),
        "num_frames": (2 + np.arange(num_videos) % (num_frames - 1)).astype(np.int32),
        "tokens": rng.integers(4, 40, (num_videos, 5)).astype(np.int32),
        "segment": np.repeat(one, 5, axis=1),
        "position": np.tile(np.array([0, 1, 0, 1, 2], np.int32), (num_videos, 1)),
        "frame": np.concatenate([first, first + 1, *[-one] * 3], axis=1),
    }


def expected_queries(params, tokens, num_tokens):
    place = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)
    segment = (place < num_tokens[:, None]).astype(np.int32)
    rows = np.arange(len(tokens), dtype=np.int32)
    batch = TextBatch(tokens, segment, place, rows, np.ones_like(rows))
    return Hero(config()).apply({"params": params}, batch, method="encode_queries")


def expected_videos(params, features, num_frames, *rows):
    mask = np.arange(features.shape[1]) < num_frames[:, None]
    batch = VideoBatch(features, mask, *rows)
    return Hero(config()).apply({"params": params}, batch, method="encode_videos")


def expected_scores(params, vectors, frames, num_frames):
    mask = np.arange(frames.shape[1]) < num_frames[:, None]
    call = lambda method: Hero(config()).apply(
        {"params": params}, vectors, frames, mask, method=method
    )
    return call("video_scores"), *call("all_span_logits")


def cases(params) -> Iterator[tuple[str, dict, dict]]:
    """Program and number -> inputs and outputs, each at two sizes."""
    for number, (asked, seen) in enumerate(
        [(texts(2, 5), videos(3, 4)), (texts(4, 7), videos(1, 6))]
    ):
        vectors = expected_queries(params, *asked.values())
        frames = expected_videos(params, *seen.values())
        yield f"encode_queries-{number}", asked, {"vectors": vectors}
        yield f"encode_videos-{number}", seen, {"frames": frames}
        given = {
            "vectors": np.asarray(vectors),
            "frames": np.asarray(frames),
            "num_frames": seen["num_frames"],
        }
        found = expected_scores(params, *given.values())
        yield f"score-{number}", given, dict(zip(("scores", "first", "last"), found))


def check_alone(
    script: str, params, folder: Path, env: Mapping[str, str] | None = None
) -> None:
    """Runs a script that answers every case by the programs in the folder alone."""
    (folder / "found").mkdir()
    wanted = {}
    for name, inputs, outputs in cases(params):
        np.savez(folder / f"{name}.npz", **inputs)
        wanted[name] = outputs
    done = subprocess.run(
        [sys.executable, "-c", script, folder],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert set(wanted) == {path.stem for path in (folder / "found").iterdir()}
    for name, arrays in wanted.items():
        found = np.load(folder / "found" / f"{name}.npz")
        assert set(found) == set(arrays)
        for key, value in arrays.items():
            assert np.allclose(found[key], value, rtol=1e-5, atol=1e-5), (name, key)
