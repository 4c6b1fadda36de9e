import json

import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.retrieval.index import IndexProblem, build_index, load_index, save_index
from hero_jax.retrieval.search import search


def small_index(dtype=np.float32):
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(n, 6)).astype(np.float32) for n in (3, 1, 5)]
    return build_index(
        ["a", "b", "ü"], frames, [1.5, 2.0, 0.5], fingerprint="model-7", dtype=dtype
    )


def test_an_index_is_padded_to_its_longest_video():
    index = small_index()
    assert index.frames.shape == (3, 5, 6)
    assert list(index.num_frames) == [3, 1, 5]
    assert not np.any(index.frames[~index.frame_mask])


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_a_saved_index_comes_back_bit_for_bit(tmp_path, dtype):
    index = small_index(dtype)
    save_index(index, tmp_path / "index")
    save_index(index, tmp_path / "index")  # replaces the first
    again = load_index(tmp_path / "index", fingerprint="model-7")
    assert again.video_ids == index.video_ids
    assert again.frames.dtype == index.frames.dtype
    for name in ("frames", "frame_mask", "scale", "intervals"):
        np.testing.assert_array_equal(getattr(again, name), getattr(index, name))
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_an_index_in_half_precision_finds_the_same_videos():
    queries = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    exact, half = (
        search(queries, small_index(dtype), 3) for dtype in (np.float32, jnp.bfloat16)
    )
    np.testing.assert_array_equal(exact.videos, half.videos)
    np.testing.assert_allclose(exact.scores, half.scores, atol=0.02)


def test_an_absent_index_is_refused(tmp_path):
    with pytest.raises(IndexProblem, match="not found: encode the corpus first"):
        load_index(tmp_path)


def test_the_index_of_another_model_is_refused(tmp_path):
    save_index(small_index(), tmp_path / "index")
    with pytest.raises(IndexProblem, match="fingerprint is model-7, the model has m8"):
        load_index(tmp_path / "index", fingerprint="m8")


def test_another_format_is_refused(tmp_path):
    save_index(small_index(), tmp_path / "index")
    path = tmp_path / "index" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(IndexProblem, match="format is 99, this version reads 1"):
        load_index(tmp_path / "index")


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_broken_manifest_is_refused(tmp_path, content):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(IndexProblem, match="encode the corpus again"):
        load_index(tmp_path)


@pytest.mark.parametrize("name", ["frames.npy", "frame_mask.npy"])
def test_a_flipped_bit_is_noticed(tmp_path, name):
    save_index(small_index(), tmp_path / "index")
    path = tmp_path / "index" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexProblem, match=f"{name}: its SHA-256"):
        load_index(tmp_path / "index")
