"""Each task learns: its loss falls, and it answers better than by chance.

From nothing, on a CPU and within minutes, that can only be asked about the texts that
were learned from. TVQA and VIOLIN are those of `microtv`, the others miniatures of the
raw release.
"""

import json

import numpy as np
import pytest

from data_pipelines import tokenizers
from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.microtv.generate import generate
from experiments.common import small_model, texts_of
from experiments.judging import judged_texts
from hero_jax import checkpoint
from hero_jax.optimizer import OptimizerConfig
from hero_jax.tasks.entailment import Entailment
from hero_jax.tasks.question_answering import QuestionAnswering
from hero_jax.tasks.source import Source
from hero_jax.train import TrainConfig, train
from tests.data_pipelines import judged_releases


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("learning")
    generate(root / "microtv", num_videos=10, seed=0, workers=1)
    judged_releases.write_how2qa(root / "how2qa")
    judged_releases.write_vlep(root / "vlep")
    for name in ("microtv", "how2qa", "vlep"):
        build_dataset(name, data_dir=root / name, out=root / "dataset")
    return root / "dataset"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "kind"),
    [
        ("microtv", QuestionAnswering),
        ("microtv", Entailment),
        ("how2qa", QuestionAnswering),
        ("vlep", QuestionAnswering),
    ],
)
def test_the_loss_falls_and_the_answers_beat_chance(datasets, tmp_path, dataset, kind):
    tokenizer = tmp_path / "tokenizer.json"
    corpus = open_corpus(datasets, dataset, "train")
    texts = [*texts_of(corpus), *judged_texts(corpus)]
    tokenizers.train(texts, vocab_size=600).save(tokenizer)
    source = Source(
        directory=datasets,
        dataset=dataset,
        tokenizer=tokenizer,
        languages=("en",),
        row_length=64,
    )
    task = kind(source=source, batch_size=4)
    config = TrainConfig(
        tasks={"task": task},
        model=small_model(source, width=48),
        steps=150,
        optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=15),
        log_every=10,
        save_every=150,
    )
    train(config, tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["task/loss"] for line in lines]
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])
    _, params = checkpoint.load_params(tmp_path / "run")
    cell = task.evaluate(config.model, params, "train")["en"]["en"]
    chance = cell["chance"]["accuracy"]
    assert cell["accuracy"] >= chance + (100 - chance) / 3
