import json
import os
import subprocess
import sys

import numpy as np
import pytest

from hero_jax import programs
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.model.transformer import TransformerConfig
from tests.weights import random_hero

ALONE = """
import importlib.abc, json, pathlib, sys
import numpy as np

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("hero_jax", "data_pipelines", "flax", "tests"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())

from jax import export
folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.npz")):
    name = path.stem.split("-")[0]
    program = export.deserialize((folder / f"{name}.stablehlo").read_bytes())
    signature = json.loads((folder / "programs.json").read_text())[name]
    given = np.load(path)
    out = program.call(*(given[key] for key in signature["inputs"]))
    out = out if isinstance(out, (list, tuple)) else [out]
    np.savez(folder / "found" / path.name, **dict(zip(signature["outputs"], out)))
"""


def config() -> HeroConfig:
    tower = TransformerConfig(width=8, num_heads=2, num_layers=2, mlp_width=12)
    return HeroConfig(
        vocab_size=40, feature_width=5, max_positions=16, cross_modal=tower,
        temporal=tower, query_heads=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def params():
    return random_hero(config())


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


def cases(params):
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


def test_the_programs_run_where_this_package_cannot_be_imported(params, tmp_path):
    programs.write(config(), params, tmp_path)
    (tmp_path / "found").mkdir()
    wanted = {}
    for name, inputs, outputs in cases(params):
        np.savez(tmp_path / f"{name}.npz", **inputs)
        wanted[name] = outputs
    done = subprocess.run(
        [sys.executable, "-c", ALONE, tmp_path],
        cwd=tmp_path,
        env={k: value for k, value in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for name, arrays in wanted.items():
        found = np.load(tmp_path / "found" / f"{name}.npz")
        assert set(found) == set(arrays)
        for key, value in arrays.items():
            assert np.allclose(found[key], value, rtol=1e-5, atol=1e-5), (name, key)


def test_the_signature_says_what_goes_in_and_comes_out(params, tmp_path):
    programs.write(config(), params, tmp_path)
    said = json.loads((tmp_path / "programs.json").read_text())
    assert set(said) == {"encode_queries", "encode_videos", "score"}
    assert said["encode_queries"] == {
        "inputs": {"tokens": ["int32", "q, t"], "num_tokens": ["int32", "q"]},
        "outputs": {"vectors": ["float32", "q, 8"]},
    }


def test_a_model_without_queries_has_the_video_program_alone():
    params = random_hero(config(), ())
    assert set(programs.programs_of(config(), params)) == {"encode_videos"}
