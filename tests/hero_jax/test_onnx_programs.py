"""The programs in ONNX Runtime; skipped where the extra `onnx` is not installed."""

import json
import sys

import pytest

from hero_jax import onnx_programs
from hero_jax.errors import UserError
from tests.hero_jax.program_cases import check_alone, config
from tests.weights import random_hero

ALONE = """
import json, pathlib, sys
import numpy as np
import onnxruntime

folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.npz")):
    name = path.stem.split("-")[0]
    program = onnxruntime.InferenceSession(folder / f"{name}.onnx")
    signature = json.loads((folder / "programs.json").read_text())[name]
    out = program.run(None, dict(np.load(path)))
    np.savez(folder / "found" / path.name, **dict(zip(signature["outputs"], out)))
assert not {"jax", "hero_jax"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def params():
    return random_hero(config())


def test_programs_of_free_sizes_run_without_jax(params, tmp_path):
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")
    onnx_programs.write(config(), params, tmp_path)
    check_alone(ALONE, params, tmp_path)
    assert set(json.loads((tmp_path / "programs.json").read_text())) == {
        "encode_queries", "encode_videos", "score"
    }  # fmt: skip


def test_without_the_extra_a_line_says_what_to_install(params, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match=r"pip install 'hero-jax\[onnx\]'"):
        onnx_programs.write(config(), params, tmp_path)
    assert not list(tmp_path.iterdir())
