"""After installation nothing touches the network, and nothing needs TensorFlow.

Each test runs a fresh interpreter that begins with `GUARD`: connections and host names
are refused and written down, a decoy `tensorflow` writes down that it was imported, and
named modules cannot be imported at all. Child processes begin with it too.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

GUARD = """
import importlib.abc, os, socket, sys

def note(what):
    with open(os.environ["GUARD_LOG"], "a") as log:
        log.write(what + "\\n")

def refuse(name):
    def refused(*args, **kwargs):
        if isinstance(args[0], socket.socket) and args[0].family == socket.AF_UNIX:
            return allowed[name](*args, **kwargs)  # pipes between our own processes
        note(f"{name} {args[1:] if isinstance(args[0], socket.socket) else args}")
        raise OSError(f"network: {name} is refused in this test")
    return refused

METHODS = ("connect", "connect_ex", "sendto")
allowed = {name: getattr(socket.socket, name) for name in METHODS}
for name in METHODS:
    setattr(socket.socket, name, refuse(name))
for name in ("getaddrinfo", "gethostbyname", "create_connection"):
    setattr(socket, name, refuse(name))

class Blocked(importlib.abc.MetaPathFinder):
    names = tuple(filter(None, os.environ.get("GUARD_BLOCKED", "").split(",")))

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"{name} is blocked in this test", name=name)

sys.meta_path.insert(0, Blocked())
"""
DECOY = """
import sitecustomize, traceback
sitecustomize.note("import tensorflow " + "".join(traceback.format_stack()[-12:]))
raise ImportError("this tensorflow is a decoy")
"""
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1].split(","):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
MINIATURE = """
import sys
from pathlib import Path
from data_pipelines import build, microtv
from data_pipelines.corpus import open_corpus
from data_pipelines.microtv.generate import generate

folder = Path(sys.argv[1])
if __name__ == "__main__":
    generate(folder / "raw", num_videos=6, seed=3, workers=1)
    build.build_dataset(
        "microtv", data_dir=folder / "raw", out=folder / "built", workers=2
    )
    corpus = open_corpus(folder / "built", "microtv", "train")
    assert len(corpus.videos) > 0
    frames = corpus.features[0]
    assert frames.shape == (corpus.videos[0].num_frames, corpus.feature_width)
    assert {"en", "zh"} <= set(corpus.languages)
"""
SMALL = ["--videos", "30", "--steps", "3", "--batch_size", "6", "--objectives", "vsm"]


@pytest.fixture
def guarded(tmp_path):
    """Runs Python under the guard; fails unless it ends well and the log is empty."""
    folder = tmp_path / "guard"
    (folder / "tensorflow").mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(GUARD)
    (folder / "tensorflow" / "__init__.py").write_text(DECOY)
    log = folder / "log"

    def run(*arguments, blocked="", expected=0):
        environment = {
            **os.environ,
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "GUARD_LOG": str(log),
            "GUARD_BLOCKED": blocked,
            "JAX_PLATFORMS": "cpu",
        }
        ended = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert ended.returncode == expected, ended.stdout + ended.stderr
        return log.read_text() if log.exists() else ""

    return run


def test_the_guard_sees_what_it_is_there_to_see(guarded):
    probe = (
        "import socket, urllib.request\n"
        "for attempt in (lambda: urllib.request.urlopen('http://192.0.2.1/'),\n"
        "                lambda: socket.create_connection(('a.invalid', 80)),\n"
        "                lambda: __import__('tensorflow'),\n"
        "                lambda: __import__('jax')):\n"
        "    try: attempt()\n"
        "    except OSError: pass\n"
        "    except ImportError: pass\n"
        "    else: raise SystemExit('let through')\n"
    )
    seen = guarded("-c", probe, blocked="jax")
    assert "create_connection" in seen
    assert "import tensorflow" in seen


def test_importing_everything_asks_for_nothing(guarded):
    packages = "hero_jax,data_pipelines,experiments"
    assert guarded("-c", IMPORT_ALL, packages) == ""


def test_data_pipelines_work_where_jax_is_not_installed(guarded, tmp_path):
    blocked = "jax,jaxlib,flax,optax,hero_jax"
    (tmp_path / "miniature.py").write_text(MINIATURE)
    assert guarded("-c", IMPORT_ALL, "data_pipelines", blocked=blocked) == ""
    seen = guarded(tmp_path / "miniature.py", tmp_path / "corpus", blocked=blocked)
    assert seen == ""


def test_the_quickstart_builds_trains_evaluates_and_searches_offline(guarded, tmp_path):
    folder = tmp_path / "run"
    seen = guarded("-m", "experiments.quickstart", "--run_dir", folder, *SMALL)
    assert seen == ""
    assert (folder / "results.json").exists()
    assert guarded("-m", "hero_jax.cli", "search", folder, "a red cup") == ""
