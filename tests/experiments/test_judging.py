import dataclasses
import json
import subprocess
import sys

import pytest

from data_pipelines.build import build_dataset
from experiments import how2qa, judging, tvqa, violin, vlep
from hero_jax.errors import UserError
from tests.data_pipelines import judged_releases

EXPERIMENTS = {
    "tvqa": tvqa.Tvqa,
    "how2qa": how2qa.How2Qa,
    "vlep": vlep.Vlep,
    "violin": violin.Violin,
}
TINY = {
    "model": "small",
    "width": 8,
    "reference_gpus": 1,
    "batch_size": 2,
    "accumulation": 1,
    "steps": 3,
    "warmup_steps": 1,
    "eval_every": 3,
    "split": "test_public",
}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("judging")
    for name in EXPERIMENTS:
        release = root / "raw" / name
        getattr(judged_releases, f"write_{name}")(release)
        build_dataset(name, data_dir=release, out=root / "dataset")
    return root / "dataset"


def options(name, datasets, run_dir, **changes):
    return EXPERIMENTS[name](run_dir=run_dir, data_dir=datasets, **changes)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        # D.8: examples in a batch, accumulation, rate, updates, warm-up, lr_mul
        ("tvqa", (32, 2, 5e-5, 10_000, 1_000, 10)),
        ("how2qa", (32, 2, 5e-5, 2_000, 200, 10)),
        ("vlep", (32, 2, 5e-5, 1_000, 100, 10)),
        ("violin", (32, 2, 3e-5, 6_000, 600, 8)),
    ],
)
def test_the_defaults_are_the_official_recipe(name, recipe, datasets, tmp_path):
    config = options(name, datasets, tmp_path)
    run = judging.train_config(config, judging.prepare(config))
    (task,) = run.tasks.values()
    rule = run.optimizer
    found = (
        task.batch_size,
        run.accumulation,
        rule.learning_rate,
        run.steps,
        rule.warmup_steps,
        rule.head_multiplier,
    )
    assert found == recipe
    assert (rule.b1, rule.b2, rule.weight_decay, rule.max_grad_norm) == (
        0.9,
        0.98,
        0.01,
        1.0,
    )
    assert task.max_text_tokens == 120
    assert task.context == (2 if name == "violin" else 0)
    assert not run.is_accumulation_mean
    if name != "violin":
        assert task.objective.span_weight == 0.4
    towers = run.model.cross_modal, run.model.temporal
    assert [t.num_layers for t in towers] == [6, 3]
    assert {t.width for t in towers} == {768}
    assert {run.model.dropout, *(t.dropout for t in towers)} == {0.1}


def test_a_run_answers_a_split_without_labels_and_leaves_what_is_handed_in(
    datasets, tmp_path
):
    config = options("vlep", datasets, tmp_path, **TINY)
    results = judging.run(config)
    assert results["en"]["en"]["accuracy"] is None
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["results"] == results
    assert saved["meta"]["steps"] == 3
    path = tmp_path / "vlep" / "predictions" / "questions-en-en.json"
    handed_in = json.loads(path.read_text())
    assert set(handed_in) == {"6", "7"}
    assert set(handed_in.values()) <= {0, 1}


def test_a_run_begins_with_the_weights_of_another(datasets, tmp_path):
    config = options("how2qa", datasets, tmp_path, start=tmp_path / "weights.pt")
    run = judging.train_config(config, judging.prepare(config))
    assert run.start.path == tmp_path / "weights.pt"
    with pytest.raises(UserError, match="weights.pt"):
        judging.run(dataclasses.replace(config, **TINY))


def test_options_that_cannot_work_are_named(datasets, tmp_path):
    with pytest.raises(UserError, match="--batch_size: found 0"):
        judging.run(options("tvqa", datasets, tmp_path, **TINY | {"batch_size": 0}))


@pytest.mark.parametrize("name", ["violin"])
def test_help_names_the_recipe(name):
    command = [sys.executable, "-m", f"experiments.{name}", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "python -m data_pipelines.build" in shown
    assert "--head-multiplier" in shown or "--head_multiplier" in shown
