"""Every task of a run is measured, and what was answered before stays."""

import dataclasses

from hero_jax import search
from hero_jax.learner import Learner
from hero_jax.losses.info_nce import InfoNCE
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.parallel_text import ParallelText
from hero_jax.tasks.vsm import Vsm
from hero_jax.train import TrainConfig, make_learner, make_pipelines
from tests.corpora import MemorySource
from tests.short_runs import tiny_model

SOURCE = MemorySource(num_videos=4)
ONE = MomentRetrieval(source=SOURCE, objective=InfoNCE(), span=None, batch_size=2)


def config(**tasks):
    return TrainConfig(tasks=tasks, model=tiny_model(SOURCE), steps=1)


def test_means_are_measured_where_nothing_else_is():
    means = {"vsm": Vsm(source=SOURCE), "parallel": ParallelText(source=SOURCE)}
    assert list(search.measured(config(first=ONE, **means))) == ["first"]
    assert list(search.measured(config(**means))) == ["vsm", "parallel"]


def test_every_task_answers_into_a_folder_of_its_own(tmp_path, monkeypatch):
    run = config(first=ONE, second=dataclasses.replace(ONE, batch_size=4))
    learner: Learner = make_learner(run, make_pipelines(run))
    params = learner.whole(learner.initial_state().params)
    monkeypatch.setattr(search, "read_run", lambda _: (run, params))
    (old := tmp_path / "predictions" / "en-en.json").parent.mkdir()
    old.write_text("mine")
    found = search.evaluate_all(tmp_path, "val")
    assert list(found) == ["first", "second"]
    assert found["first"]["en"]["zh"]["num_queries"] > 0
    for name in found:
        assert (tmp_path / "predictions" / "val" / name / "en-zh.json").is_file()
    assert old.read_text() == "mine"
