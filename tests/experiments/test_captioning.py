"""The captioning experiments: official recipes, a short run, a longer one by name."""

import json

import numpy as np
import pytest

from data_pipelines.build import build_dataset
from data_pipelines.microtv.generate import generate
from experiments import judging, tvc, vatex_c, yc2c
from hero_jax.report import read_curves
from tests.data_pipelines import captioned_releases

EXPERIMENTS = {"tvc": tvc.Tvc, "yc2c": yc2c.Yc2c, "vatex_en_c": vatex_c.VatexC}
TINY = {
    "model": "small",
    "width": 8,
    "reference_gpus": 1,
    "batch_size": 2,
    "steps": 3,
    "warmup_steps": 1,
    "eval_every": 3,
}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("captioning")
    for name in EXPERIMENTS:
        release = root / "raw" / name
        getattr(captioned_releases, f"write_{name}")(release)
        build_dataset(name, data_dir=release, out=root / "dataset")
    return root / "dataset"


@pytest.mark.parametrize(
    ("name", "batch"), [("tvc", 32), ("yc2c", 128), ("vatex_en_c", 1024)]
)
def test_the_defaults_are_the_official_recipe(name, batch, datasets, tmp_path):
    config = EXPERIMENTS[name](run_dir=tmp_path, data_dir=datasets)
    run = judging.train_config(config, judging.prepare(config))
    (task,) = run.tasks.values()
    rule = run.optimizer
    assert task.batch_size == batch
    assert (run.steps, rule.warmup_steps, run.accumulation) == (7_000, 700, 1)
    assert (rule.learning_rate, rule.head_multiplier) == (1e-4, 10)
    assert task.objective.smoothing == 0.1
    assert (task.writing.max_words, task.writing.num_beams) == (30, 1)
    assert (task.context, task.max_caption_tokens) == (1, 60)
    assert task.is_by_caption == (name != "tvc")
    decoder = run.model.decoder
    assert (decoder.num_layers, decoder.width, decoder.dropout) == (2, 768, 0.1)
    assert run.model.num_caption_languages == 1
    assert run.model.max_caption_positions == 1024


def test_three_steps_and_an_evaluation_on_segments(datasets, tmp_path):
    config = yc2c.Yc2c(run_dir=tmp_path, data_dir=datasets, **TINY)
    results = judging.run(config)
    cell = results["en"]["en"]
    assert {"CIDEr", "ROUGE-L", "macro", "paragraph"} <= set(cell)
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["results"] == results
    (line,) = (
        (tmp_path / "yc2c/predictions/captions-en-none.jsonl").read_text().splitlines()
    )
    assert set(json.loads(line)) == {"vid_name", "clip_id", "descs"}


@pytest.mark.slow
def test_on_microtv_the_loss_falls_and_captions_fit_their_moments(tmp_path):
    """Three languages at once; chance is what the captions score at other moments.

    After a quarter of these steps they are well-formed and fit nothing: the words of
    captions are learnt long before the frames. About 15 minutes on two cores.
    """
    generate(tmp_path / "raw", num_videos=300, seed=0, workers=2)
    build_dataset("microtv", data_dir=tmp_path / "raw", out=tmp_path / "data")
    config = tvc.Tvc(
        run_dir=tmp_path / "run",
        data_dir=tmp_path / "data",
        dataset="microtv",
        **TINY
        | {"width": 64, "batch_size": 16, "steps": 1000, "warmup_steps": 100}
        | {"learning_rate": 2e-3, "head_multiplier": 1.0, "eval_every": 1000},
        split="test",
    )
    results = judging.run(config)
    losses = [v for _, v in read_curves(tmp_path / "run/tvc/metrics.jsonl")["tvc/loss"]]
    assert losses[-1] < 0.6 * losses[0]
    cells = [cell for row in results.values() for cell in row.values()]
    assert len(cells) == 12
    reached, chance = (
        np.mean([c["CIDEr"] for c in some])
        for some in (cells, [c["chance"] for c in cells])
    )
    assert reached > 1.5 * chance
