"""What must never be imported: TensorFlow anywhere, JAX where data are prepared."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data_pipelines import miniature

ROOT = Path(__file__).resolve().parents[1]

BUILD_AND_OPEN = """
import multiprocessing, sys
from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
if __name__ == "__main__":
    raw, features, out = sys.argv[1:]
    where = dict(data_dir=raw, out=out, features=features)
    build_dataset("microtv", workers=2, **where)
    corpus = open_corpus(out, "microtv", "test")
    assert corpus.features[1].shape == (10, 3)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(corpus.features.__getitem__, [0])[0].shape == (9, 3)
"""

WITHOUT_TENSORFLOW = {"build and open": BUILD_AND_OPEN}
"""Programs that must run where TensorFlow would end them."""

DECOY = """
import os, traceback
with open(os.environ["DECOY_LOG"], "a") as log:
    traceback.print_stack(file=log)
raise RuntimeError("TensorFlow was imported")
"""

BLOCK_JAX = """
import importlib, importlib.abc, pkgutil, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jax", "jaxlib", "flax", "hero_jax"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
"""

IMPORT_EVERYTHING = """
import data_pipelines
found = pkgutil.walk_packages(data_pipelines.__path__, "data_pipelines.")
names = [module.name for module in found if not module.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


@pytest.fixture
def release(tmp_path):
    miniature.write_microtv(tmp_path / "raw")
    miniature.write_features(tmp_path / "features")
    return tmp_path


def run(program: str, folder: Path, **environment: str) -> str:
    """What the program prints; it runs as a script, so that it can start workers."""
    script = folder / "program.py"
    script.write_text(program)
    paths = [environment.pop("first", ""), str(ROOT)]
    arguments = [folder / name for name in ("raw", "features", "out")]
    done = subprocess.run(
        [sys.executable, script, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("program", WITHOUT_TENSORFLOW)
def test_tensorflow_is_never_imported(release, program):
    decoy = release / "decoy" / "tensorflow"
    decoy.mkdir(parents=True)
    (decoy / "__init__.py").write_text(DECOY)
    log = release / "imports.log"
    source = WITHOUT_TENSORFLOW[program]
    run(source, release, first=str(decoy.parent), DECOY_LOG=str(log))
    assert not log.exists(), log.read_text()


def test_the_decoy_would_be_noticed(release):
    decoy = release / "decoy" / "tensorflow"
    decoy.mkdir(parents=True)
    (decoy / "__init__.py").write_text(DECOY)
    log = release / "imports.log"
    source = "try:\n    import tensorflow\nexcept RuntimeError:\n    pass\n"
    run(source, release, first=str(decoy.parent), DECOY_LOG=str(log))
    assert "program.py" in log.read_text()


def test_data_pipelines_import_without_jax(release):
    assert int(run(BLOCK_JAX + IMPORT_EVERYTHING, release)) > 20


def test_a_corpus_is_built_and_opened_without_jax(release):
    run(BLOCK_JAX + BUILD_AND_OPEN, release)
