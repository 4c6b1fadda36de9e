"""The programs in ONNX Runtime; skipped where the extra `onnx` is not installed."""

import json
import subprocess
import sys

import numpy as np
import pytest

from hero_jax import onnx_programs
from hero_jax.errors import UserError
from tests.hero_jax.program_cases import cases, config
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
    (tmp_path / "found").mkdir()
    wanted = {}
    for name, inputs, outputs in cases(params):
        np.savez(tmp_path / f"{name}.npz", **inputs)
        wanted[name] = outputs
    done = subprocess.run(
        [sys.executable, "-c", ALONE, tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert set(wanted) == {path.stem for path in (tmp_path / "found").iterdir()}
    for name, arrays in wanted.items():
        found = np.load(tmp_path / "found" / f"{name}.npz")
        assert set(found) == set(arrays)
        for key, value in arrays.items():
            assert np.allclose(found[key], value, rtol=1e-5, atol=1e-5), (name, key)
    assert set(json.loads((tmp_path / "programs.json").read_text())) == {
        "encode_queries", "encode_videos", "score"
    }  # fmt: skip


def test_without_the_extra_a_line_says_what_to_install(params, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match=r"pip install 'hero-jax\[onnx\]'"):
        onnx_programs.write(config(), params, tmp_path)
    assert not list(tmp_path.iterdir())
