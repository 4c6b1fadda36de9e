import json
import os

import pytest

from hero_jax import programs
from tests.hero_jax.program_cases import check_alone, config
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


@pytest.fixture(scope="module")
def params():
    return random_hero(config())


def test_the_programs_run_where_this_package_cannot_be_imported(params, tmp_path):
    programs.write(config(), params, tmp_path)
    env = {k: value for k, value in os.environ.items() if k != "PYTHONPATH"}
    check_alone(ALONE, params, tmp_path, env)


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
