"""The notebook is the .py it is built from, and it runs."""

import os
from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest

COLAB = Path(__file__).resolve().parents[2] / "experiments" / "colab"
TINY = {
    "HERO_VIDEOS": "30",
    "HERO_STEPS": "3",
    "HERO_BATCH_SIZE": "6",
    "HERO_OBJECTIVES": "vsm",
}
"""Sizes of test_quickstart.py and test_offline.py: what one compiles, another loads."""


def cells(notebook):
    return [(cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]


def test_the_notebook_is_built_from_the_script():
    built = jupytext.read(COLAB / "quickstart.py")
    kept = nbformat.read(COLAB / "quickstart.ipynb", as_version=4)
    assert cells(kept) == cells(built), "run `make notebook`"
    assert not any(cell.get("outputs") for cell in kept.cells)


def test_the_notebook_runs_at_a_few_videos_and_steps(tmp_path, monkeypatch):
    for name, value in TINY.items():
        monkeypatch.setenv(name, value)
    assert "All as it should be." in printed(executed(tmp_path, monkeypatch))


@pytest.mark.slow
def test_the_notebook_runs_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    assert "All as it should be." in printed(executed(tmp_path, monkeypatch))


def executed(folder, monkeypatch):
    """The notebook after a run in a fresh kernel."""
    monkeypatch.setenv("HERO_RUN_DIR", str(folder / "run"))
    root = str(COLAB.parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    notebook = nbformat.read(COLAB / "quickstart.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=1200, resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


def printed(notebook):
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "".join(out.get("text", "") for out in outputs)
