"""What the experiments of one task share: options, one run, one table.

Each of them is a module of its own with its official recipe (D.8) as defaults; this one
trains, evaluates and writes `results.json` and the files to hand in.
"""

import abc
import dataclasses
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from data_pipelines import tokenizers
from data_pipelines.corpus import is_there, open_corpus
from data_pipelines.files import write_whole
from data_pipelines.schema import Corpus
from experiments.common import (
    Dtype,
    check_options,
    check_vocabulary,
    describe,
    is_first,
    paper_model,
    say,
    settle_in,
    sized_like,
    small_model,
    texts_of,
    wait_for_first,
)
from hero_jax import command_line, errors, processes, search
from hero_jax.errors import UserError
from hero_jax.model.hero import HeroConfig
from hero_jax.optimizer import OptimizerConfig
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.base import Task
from hero_jax.tasks.source import Source
from hero_jax.train import TrainConfig, train
from hero_jax.warm_start import Start

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""text language -> subtitle language -> numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judging(abc.ABC):
    """The options of these experiments; their defaults are official (D.8)."""

    ALSO_IN: ClassVar[str] = ""
    """A dataset that holds the same, where there is none of the usual name."""
    COUNTS: ClassVar[tuple[str, ...]] = (
        "reference_gpus",
        "batch_size",
        "accumulation",
        "steps",
        "eval_every",
    )
    """Options that must be 1 or more."""

    run_dir: Path
    """Where everything goes that the run makes."""
    data_dir: Path
    """Where `python -m data_pipelines.build` wrote the corpus (its --out)."""
    dataset: str
    """The corpus' name."""
    train_split: str = "train"
    """The split that is learned from, or several joined: train+val."""
    tokenizer: Path | None = None
    """RoBERTa's vocab.json and merges.txt, or another tokenizer; by default one is
    learnt from the corpus."""
    start: Path | None = None
    """Weights to begin with: released HERO weights (.pt), a run, an exported folder or
    a language model; random ones by default."""
    model: Literal["paper", "small"] = "paper"
    """The paper's, or one that learns from nothing in minutes on a CPU."""
    width: int = 768
    """Width of the model."""
    dtype: Dtype = "float32"
    """What the layers compute in; the official runs used float16."""
    reference_gpus: int = 8
    """GPUs of the recipe: a batch has as many times `batch_size` examples."""
    batch_size: int = 4
    """Questions, or pairs of statements, in a batch of one reference GPU."""
    accumulation: int = 2
    """Batches whose gradients are summed for one update."""
    steps: int
    """Updates."""
    warmup_steps: int
    """Updates over which the learning rate rises."""
    learning_rate: float = 5e-5
    """The peak, after the warm-up."""
    head_multiplier: float = 10.0
    """Learning rate of the head relative to the encoder's (official lr_mul)."""
    eval_every: int = 500
    """Steps from one validation, and one checkpoint, to the next."""
    split: str = "val"
    """The split that is validated and answered in the end."""
    seed: int = 77
    """Of the training."""
    num_workers: int = 0
    """Processes that prepare batches; 0 prepares in threads."""
    mesh: MeshConfig = MeshConfig()
    """Devices: mesh.data splits batches, mesh.model splits parameters."""
    fresh: bool = False
    """Refuse to go on from what the run directory holds."""

    @abc.abstractmethod
    def task(self, source: Source) -> Task:
        """What is learned."""

    def reading(self, source: Source) -> Source:
        """The corpus as this task reads it."""
        return source

    def check_corpus(self, source: Source) -> None:
        """Refuses, before days of training, what the evaluation cannot work with."""
        for split in (self.train_split, self.split):
            source.read_fingerprint(split)

    def texts(self, corpus: Corpus) -> Iterator[str]:
        """What was written about the videos, in whatever language."""
        yield from judged_texts(corpus)

    def sized(self, source: Source) -> HeroConfig:
        """The model that learns it."""
        return model_of(self, source)

    def hand_in(self, run_dir: Path) -> list[Path]:
        """Files to hand in, made of a run's predictions; by default they are those."""
        return []

    def table(self, results: Results) -> Iterator[str]:
        """The lines that are printed in the end."""
        return accuracies(results)

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    @property
    def corpus(self) -> str:
        """The dataset that is read: the one named, or the other that holds the same."""
        names = [name for name in (self.dataset, self.ALSO_IN) if name]
        there = [name for name in names if is_there(self.data_dir, name)]
        return (there or names)[0]


def main(options: type[Judging], description: str | None) -> None:
    """The command line of one experiment."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    errors.run_main(lambda: _main(command_line.parse(options, description=description)))


def _main(config: Judging) -> None:
    check(config)
    settle_in(config.run_dir)
    processes.start(processes.from_environment())
    run(config)
    wait_for_first()


def run(config: Judging) -> Results:
    """Trains and evaluates; returns results[text language][subtitle language]."""
    begin = time.monotonic()
    check(config)
    source = prepare(config)
    check_vocabulary(config.start, source)
    config.check_corpus(source)
    whole = train_config(config, source)
    say(f"{config.run_dir}: {config.steps} steps")
    run_dir = config.run_dir / config.name
    train(whole, run_dir, fresh=config.fresh)
    if not is_first():
        return {}
    results = search.evaluate(run_dir, config.split)
    config.hand_in(run_dir)
    publish(config, results, seconds=time.monotonic() - begin)
    return results


def prepare(config: Judging) -> Source:
    """The corpus as a source of examples; a tokenizer is learnt where none is given."""
    tokenizer = config.tokenizer or config.run_dir / "tokenizer.json"
    if is_first() and config.tokenizer is None:
        corpus = open_corpus(config.data_dir, config.corpus, config.train_split)
        if not tokenizer.exists():
            texts = [*texts_of(corpus), *config.texts(corpus)]
            tokenizers.train(texts, vocab_size=8000).save(tokenizer)
    wait_for_first()
    source = Source(
        directory=config.data_dir.absolute(),
        dataset=config.corpus,
        tokenizer=tokenizer.absolute(),
        row_length=256,  # hardly a subtitle with its frames and text is longer
    )
    return config.reading(source)


def judged_texts(corpus: Corpus) -> Iterator[str]:
    """Every question, answer and statement, in whatever language."""
    for question in corpus.questions:
        for texts in (question.texts, *question.answers):
            yield from texts.values()
    for statement in corpus.statements:
        yield from statement.texts.values()


def train_config(config: Judging, source: Source) -> TrainConfig:
    return TrainConfig(
        tasks={config.name: learned(config, source)},
        model=config.sized(source),
        steps=config.steps,
        seed=config.seed,
        optimizer=OptimizerConfig(
            learning_rate=config.learning_rate,
            warmup_steps=config.warmup_steps,
            head_multiplier=config.head_multiplier,
        ),
        mesh=config.mesh,
        accumulation=config.accumulation,
        num_workers=config.num_workers,
        save_every=config.eval_every,
        eval_every=config.eval_every,
        eval_split=config.split,
        start=Start(config.start.absolute()) if config.start else None,
    )


def learned(config: Judging, source: Source) -> Task:
    """The task on the split that it learns from."""
    return dataclasses.replace(config.task(source), train_split=config.train_split)


def model_of(config: Judging, source: Source) -> HeroConfig:
    if config.model == "small":
        return small_model(source, width=config.width)
    model = paper_model(source, width=config.width, dtype=config.dtype)
    return sized_like(config.start, model)


def publish(config: Judging, results: Results, *, seconds: float) -> None:
    """Prints the table and writes results.json."""
    print(*config.table(results), sep="\n")
    facts: dict[str, Any] = {"seed": config.seed, "steps": config.steps}
    meta = describe(f"experiments.{config.name}", seconds, **facts)
    content = json.dumps({"results": results, "meta": meta}, indent=1)
    write_whole(config.run_dir / "results.json", content + "\n")


def accuracies(results: Results) -> Iterator[str]:
    """Share of right choices by pair of languages, and what guessing reaches."""
    yield f"{'texts':>6} {'subtitles':>9}  accuracy  chance"
    for language, row in results.items():
        for subtitles, cell in row.items():
            found = cell["accuracy"]
            shown = "  hidden" if found is None else f"{found:8.2f}"
            chance = cell["chance"]["accuracy"]
            yield f"{language:>6} {subtitles:>9}  {shown}  {chance:6.2f}"


def check(config: Judging) -> None:
    """Refuses what cannot work before anything is made."""
    check_options(config, config.COUNTS)
    for name in ("warmup_steps", "num_workers", "learning_rate", "head_multiplier"):
        if not 0 <= (found := getattr(config, name)) < math.inf:
            raise UserError(f"--{name}: found {found}, expected 0 or more")
