"""The official pre-training recipe on a miniature: three steps and one validation."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from data_pipelines.build import build_dataset
from data_pipelines.microtv.generate import generate
from experiments.pretrain_tv import (
    PretrainTv,
    prepare,
    run,
    tasks_of,
    train_config,
)
from hero_jax import checkpoint
from hero_jax.errors import UserError
from hero_jax.losses.regression import FrameDistance
from hero_jax.mixture import Mixture
from hero_jax.pretrained import WeightsError
from tests.corpora import MemorySource

ROOT = Path(__file__).resolve().parents[2]
ROBERTA = ROOT / "tests/golden/weights/roberta12_tiny.safetensors"
WORDS = "roberta.embeddings.word_embeddings.weight"
SMALL = {
    "reference_gpus": 2, "batch_size": 2, "accumulation": 1, "width": 16,
    "warmup_steps": 1, "eval_every": 100,
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    generate(folder / "raw", num_videos=20, seed=0, workers=1)
    build_dataset("microtv", data_dir=folder / "raw", out=folder / "built", workers=1)
    return folder / "built"


def small(run_dir, data_dir, **changes):
    config = PretrainTv(run_dir=run_dir, data_dir=data_dir, dataset="microtv", **SMALL)
    return dataclasses.replace(config, **changes)


def language_model(path, num_words):
    """RoBERTa of twelve tiny layers, with so many words."""
    state, rng = load_file(ROBERTA), np.random.default_rng(0)
    for name in (WORDS, "lm_head.decoder.weight", "lm_head.bias"):
        shape = (num_words, *state[name].shape[1:])
        state[name] = rng.standard_normal(shape).astype(np.float32) / 50
    save_file(state, path)
    return path


def test_three_steps_from_a_language_model_and_a_validation_of_every_task(
    dataset, tmp_path
):
    config = small(tmp_path, dataset, steps=3)
    words = prepare(config).load_tokenizer().vocab_size
    weights = language_model(tmp_path / "roberta.safetensors", words)
    results = run(dataclasses.replace(config, start=weights))
    assert set(results) == {"mlm", "mfm", "fom", "vsm"}
    assert all(np.isfinite(v) for task in results.values() for v in task.values())
    assert {"loss", "accuracy"} <= set(results["mlm"])
    assert {"accuracy", "distance", "cosine"} <= set(results["mfm"])
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["results"] == results
    assert {"seed", "command", "versions"} <= set(content["meta"])
    lines = (tmp_path / "pretrain/metrics.jsonl").read_text().splitlines()
    assert "val/fom/accuracy" in json.loads(lines[-1])
    _, params = checkpoint.load_params(tmp_path / "pretrain")
    positions = params["hero"]["text_embedding"]["position"]["embedding"]
    given = load_file(weights)["roberta.embeddings.position_embeddings.weight"]
    assert np.abs(np.asarray(positions) - given).max() < 1e-3  # three small steps away


def test_a_tokenizer_of_other_words_than_the_weights_is_refused(dataset, tmp_path):
    config = small(tmp_path, dataset, steps=3)
    words = prepare(config).load_tokenizer().vocab_size
    weights = language_model(tmp_path / "roberta.safetensors", words - 1)
    with pytest.raises(WeightsError, match=f"{words - 1} words, the tokenizer {words}"):
        run(dataclasses.replace(config, start=weights))


def test_the_defaults_are_the_official_recipe(tmp_path):
    config = PretrainTv(run_dir=tmp_path, data_dir=tmp_path)
    recipe = train_config(config, MemorySource())
    tasks = recipe.tasks
    assert {name: task.weight for name, task in tasks.items()} == {
        "mlm": 2, "mfm": 2, "fom": 1, "vsm": 2,
    }  # fmt: skip
    assert {task.batch_size for task in tasks.values()} == {16 * 32}
    assert (recipe.accumulation, recipe.pack_groups, recipe.seed) == (2, 16, 77)
    assert not recipe.is_accumulation_mean
    optimizer = recipe.optimizer
    assert (optimizer.learning_rate, optimizer.warmup_steps) == (3e-5, 10_000)
    assert (optimizer.b1, optimizer.b2, optimizer.eps) == (0.9, 0.98, 1e-6)
    assert (optimizer.weight_decay, optimizer.max_grad_norm) == (0.01, 1.0)
    assert recipe.steps == 100_000
    assert tasks["mlm"].mask_rate == tasks["mfm"].mask_rate == 0.15
    assert tasks["fom"].shuffle_rate == 0.15
    vsm = tasks["vsm"]
    assert vsm.num_subtitle_queries == 5
    assert vsm.span_rate == pytest.approx(1 - 0.8)
    assert vsm.span.weight == 0.01
    ranking = vsm.objective
    assert (ranking.kind, ranking.margin, ranking.negatives) == ("hinge", 0.1, "all")
    assert (ranking.context_weight, ranking.query_weight) == (8, 8)
    hard = (ranking.hard_start_step, ranking.hard_pool_size, ranking.hard_weight)
    assert hard == (20_000, 20, 10)
    assert ranking.reference_gpus == 16
    assert recipe.model.cross_modal.num_layers == 6
    assert recipe.model.temporal.num_layers == 3
    assert (recipe.model.width, recipe.model.query_heads) == (768, 12)
    assert recipe.model.dropout == recipe.model.temporal.dropout == 0.1


def test_tasks_are_drawn_two_two_one_two():
    mixture = Mixture({"mlm": 2, "mfm": 2, "fom": 1, "vsm": 2}, seed=77)
    drawn = [mixture.at(step)[0] for step in range(70)]
    assert [drawn.count(t) for t in ("mlm", "mfm", "fom", "vsm")] == [20, 20, 10, 20]


def test_regression_is_the_other_way_to_learn_frames(tmp_path):
    config = PretrainTv(run_dir=tmp_path, data_dir=tmp_path, masked_frames="mffr")
    assert tasks_of(config, MemorySource())["mfm"].objective == FrameDistance()


def test_what_cannot_work_is_refused_by_name(dataset, tmp_path):
    with pytest.raises(UserError, match="--reference_gpus"):
        run(small(tmp_path, dataset, steps=3, reference_gpus=0))


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    folder = tmp_path_factory.mktemp("miniature")
    generate(folder / "raw", num_videos=120, seed=0, workers=2)
    built = folder / "built"
    build_dataset("microtv", data_dir=folder / "raw", out=built, workers=2)
    return built


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "steps", "measure", "least"),
    [
        ("mlm", 150, "accuracy", 0.1),  # of 900 words
        ("mfm", 150, "accuracy", 0.1),  # of 240 frames
        ("fom", 450, "accuracy", 0.05),  # of 40 places
        ("vsm", 300, "video_accuracy", 0.25),  # of 8 videos
    ],
)
def test_every_task_learns_on_a_miniature(
    miniature, tmp_path, task, steps, measure, least
):
    """A falling loss and more than chance."""
    before, after = (validated_after(n, task, tmp_path, miniature) for n in (1, steps))
    assert after["loss"] < 0.95 * before["loss"]
    assert after[measure] > least


def validated_after(steps, task, folder, built):
    """In a process of its own: tests compile without optimising, which runs slowly."""
    run_dir = folder / f"run{steps}"
    module = "tests.experiments.pretrain_miniature"
    command = [sys.executable, "-m", module, str(run_dir), str(built), task, str(steps)]
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return json.loads((run_dir / "results.json").read_text())["results"][task]
