"""The official greedy captions of a whole split, from its recorded batch."""

import json

import numpy as np
import pytest
from caption_cases import writer


def recorded(golden):
    folder = golden.root / "data"
    if not (folder / "e2e").is_dir():
        pytest.skip(f"no recorded runs in {folder}")
    found = json.loads((folder / "e2e/qa_violin_tvc.json").read_text())["tvc"]
    with np.load(folder / "expected/tvc_eval_batch.npz") as file:
        arrays = dict(file)
    meta = json.loads((folder / "expected/tvc_eval_batch.json").read_text())["_meta"]
    return found, arrays, meta


def test_every_moment_gets_the_official_caption(golden):
    found, arrays, meta = recorded(golden)
    assert meta["clip_ids"] == found["clip_ids"]
    length = found["max_step"]
    ours = writer(golden, arrays, meta, length, "float32")
    assert ours.greedy(length=length, bos=0, eos=2) == found["greedy_decode"]
