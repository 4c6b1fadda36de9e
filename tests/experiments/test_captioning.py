"""The captioning experiments: official recipes, a short run, a longer one by name."""

import json
import math
import shutil

import numpy as np
import pytest

from data_pipelines import stored_tokens
from data_pipelines.build import build_dataset
from data_pipelines.microtv.generate import generate
from data_pipelines.readers.errors import InputError
from data_pipelines.tokenizers import TokenizerError
from experiments import judging, tvc, vatex_c, yc2c
from hero_jax.errors import UserError
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
    both = name == "vatex_en_c"  # D.8: train on train+val
    assert task.train_split == ("train+val" if both else "train")
    assert run.eval_split == ("test_public" if both else "val")
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


def test_three_steps_on_two_splits_joined(datasets, tmp_path):
    """Eight captions of train and val, and an answer to a split that hides its own."""
    config = vatex_c.VatexC(run_dir=tmp_path, data_dir=datasets, **TINY)
    assert judging.run(config) == {}
    curves = read_curves(tmp_path / "vatex_c/metrics.jsonl")
    assert np.isfinite([value for _, value in curves["vatex_c/loss"]]).all()
    path = tmp_path / "vatex_c/predictions/captions-en-none.jsonl"
    (row,) = map(json.loads, path.read_text().splitlines())
    assert (row["vid_name"], row["clip_id"]) == ("v4", 40)
    saved = json.loads((tmp_path / "vatex_c/config.json").read_text())
    assert saved["tasks"]["vatex_c"]["train_split"] == "train+val"


@pytest.mark.parametrize("name", ["yc2c", "vatex_en_c"])
def test_without_a_dataset_of_its_own_a_task_reads_the_other_of_its_corpus(
    name, datasets, tmp_path
):
    other = {"yc2c": "yc2r", "vatex_en_c": "vatex_en_r"}[name]
    (tmp_path / "data").mkdir()
    shutil.copytree(datasets / name, tmp_path / "data" / other)
    config = EXPERIMENTS[name](run_dir=tmp_path, data_dir=tmp_path / "data")
    source = judging.prepare(config)
    assert source.dataset == other
    captions = config.task(source).examples(config.train_split)
    assert len(captions) == {"yc2c": 6, "vatex_en_c": 8}[name]
    with pytest.raises(InputError, match=f"no dataset '{name}' here, found none"):
        judging.prepare(EXPERIMENTS[name](run_dir=tmp_path, data_dir=tmp_path / "raw"))


def test_videos_that_are_no_segments_are_refused_before_training(datasets, tmp_path):
    config = yc2c.Yc2c(
        run_dir=tmp_path, data_dir=datasets, dataset="vatex_en_c", **TINY
    )
    with pytest.raises(UserError, match="val: 'v3' is not named <video>_<number>"):
        judging.run(config)
    assert not (tmp_path / "yc2c").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"num_beams": 0}, "--num_beams: found 0, expected 1 or more"),
        ({"warmup_steps": -1}, "--warmup_steps: found -1, expected 0 or more"),
        ({"num_workers": -1}, "--num_workers: found -1, expected 0 or more"),
        ({"learning_rate": -1.0}, "--learning_rate: found -1.0, expected 0 or more"),
        ({"head_multiplier": math.nan}, "--head_multiplier: found nan, expected 0"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(changes, problem, tmp_path):
    config = tvc.Tvc(run_dir=tmp_path, data_dir=tmp_path, **TINY | changes)
    with pytest.raises(UserError, match=problem):
        judging.check(config)


def test_tokens_that_tell_no_words_are_refused_before_training(datasets, tmp_path):
    fields = {"bos": 0, "eos": 2, "pad": 1, "unk": 3, "mask": 9, "vocab_size": 10}
    path = tmp_path / "yc2c.tokens.json"
    stored_tokens.from_fields(fields | {"ordinary": (4, 9), "texts": {}}).save(path)
    config = yc2c.Yc2c(run_dir=tmp_path, data_dir=datasets, tokenizer=path, **TINY)
    with pytest.raises(TokenizerError, match="ids do not tell words"):
        judging.run(config)


@pytest.mark.parametrize("changes", [{"split": "dev"}, {"train_split": "train+dev"}])
def test_a_split_that_there_is_not_is_refused_before_training(
    changes, datasets, tmp_path
):
    config = yc2c.Yc2c(run_dir=tmp_path, data_dir=datasets, **TINY | changes)
    with pytest.raises(InputError, match="splits: 'dev' is not in it, expected one of"):
        judging.run(config)
    assert not (tmp_path / "yc2c").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yc2c", "vatex_en_c"])
def test_on_a_miniature_the_loss_falls_and_captions_fit_their_videos(name, tmp_path):
    """Three things to tell apart, in videos that were not learned from; chance is what
    the captions score at other videos. About two minutes on two idle cores."""
    release = captioned_releases.write_learnable(tmp_path / "raw", name)
    features = release / "features"
    build_dataset(name, data_dir=release, out=tmp_path / "data", features=features)
    changes = {"width": 32, "batch_size": 8, "steps": 100, "warmup_steps": 10}
    changes |= {"learning_rate": 3e-3, "head_multiplier": 1.0, "eval_every": 100}
    config = EXPERIMENTS[name](
        run_dir=tmp_path, data_dir=tmp_path / "data", **TINY | changes
    )
    cell = judging.run(config)["en"]["none"]
    curves = read_curves(tmp_path / config.name / "metrics.jsonl")
    losses = [value for _, value in curves[f"{config.name}/loss"]]
    assert losses[-1] < 0.5 * losses[0]
    assert cell["CIDEr"] > 2 * cell["chance"]["CIDEr"] + 100
    assert ("macro" in cell) == (name == "yc2c")


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
