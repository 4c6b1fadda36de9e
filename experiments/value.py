"""VALUE: one model for eleven tasks, or for any of them.

    for d in tvr how2r yc2r vatex_en_r tvqa how2qa violin vlep tvc yc2c vatex_en_c; do
        python -m data_pipelines.build $d --data_dir RELEASE/$d --features DIR --out OUT
    done
    python -m experiments.value --run_dir runs/value --data_dir OUT --tokenizer BPE \
        --start hero-tv-ht100.pt

`--recipe` chooses among the official ones (D.8): all tasks, those of one kind
(retrieval, qa, captions) or of one domain (tv, youtube); `--tasks tvr tvqa` trains
some of them, each with its official batch size and ratio. `--channels video` or
`subtitles` reads one of the two alone, and `--fusion add`, `concat` or `sequence` joins
them otherwise (A.9). Two runs are combined by `experiments/two_streams.py`.

At the end every task is evaluated on the split that VALUE calls validation, the table
shows its number and the means, and `submission.zip` holds a folder a task with what is
handed in (F.9). On a CPU, all tasks of the corpus of the quickstart:

    python -m experiments.value --run_dir runs/value_microtv --dataset microtv \
        --data_dir runs/quickstart/dataset --tasks tvr tvqa violin tvc --model small \
        --width 64 --reference_gpus 1 --accumulation 1 --steps 400 --warmup_steps 40 \
        --learning_rate 1.5e-3 --eval_every 400 --split test
"""

import dataclasses
import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from data_pipelines import tokenizers
from data_pipelines.corpus import open_corpus
from data_pipelines.files import write_whole
from experiments.captioning import NUM_LAYERS
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
from experiments.how2qa import How2Qa
from experiments.how2r import How2R
from experiments.judging import Judging, learned
from experiments.tvc import Tvc
from experiments.tvqa import Tvqa
from experiments.tvr import Tvr
from experiments.value_recipes import RECIPES, Recipe
from experiments.value_results import Part, pack, scores, table
from experiments.vatex_c import VatexC
from experiments.vatex_r import VatexR
from experiments.violin import Violin
from experiments.vlep import Vlep
from experiments.yc2c import Yc2c
from experiments.yc2r import Yc2r
from hero_jax import command_line, errors, processes, search
from hero_jax.errors import UserError
from hero_jax.losses.ranking import VSM
from hero_jax.metrics import value
from hero_jax.model.fusion import Fusion
from hero_jax.model.hero import HeroConfig
from hero_jax.optimizer import OptimizerConfig
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.base import Task
from hero_jax.tasks.captioning import Captioning
from hero_jax.tasks.entailment import Entailment
from hero_jax.tasks.judging import JudgingTask
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.source import Channels, Source
from hero_jax.train import TrainConfig, train
from hero_jax.warm_start import Start

Name = Literal[
    "tvr",
    "how2r",
    "yc2r",
    "vatex_en_r",
    "tvqa",
    "how2qa",
    "violin",
    "vlep",
    "tvc",
    "yc2c",
    "vatex_en_c",
]
TASKS: Mapping[str, type[Judging]] = {
    "tvr": Tvr,
    "how2r": How2R,
    "yc2r": Yc2r,
    "vatex_en_r": VatexR,
    "tvqa": Tvqa,
    "how2qa": How2Qa,
    "violin": Violin,
    "vlep": Vlep,
    "tvc": Tvc,
    "yc2c": Yc2c,
    "vatex_en_c": VatexC,
}
VALIDATION = {"violin": "test", "vlep": "dev", "vatex_en_c": "test_public"}
"""Splits that VALUE validates on, where they are not called "val" (F.7)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value:
    """What is learned together, and how; without a number the recipe's is taken."""

    run_dir: Path
    """Where everything goes that the run makes."""
    data_dir: Path
    """Where `python -m data_pipelines.build` wrote the corpora (its --out)."""
    recipe: Literal["all", "retrieval", "qa", "captions", "tv", "youtube"] = "all"
    """Which official configuration."""
    tasks: tuple[Name, ...] = ()
    """Some of its tasks; by default all of them."""
    ratios: dict[str, int] = dataclasses.field(default_factory=dict)
    """How often tasks are drawn, where it is not as in the recipe."""
    batch_sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    """Examples in a batch of one reference GPU, where it is not as in the recipe."""
    dataset: str = ""
    """One corpus that all tasks read; by default each has its own."""
    channels: Channels = "both"
    """What is read of a video: frames and subtitles, or one of the two alone."""
    fusion: Fusion = "local"
    """How frames and subtitles meet: as in HERO, or by one of VALUE's variants."""
    video_indices: dict[str, Path] = dataclasses.field(default_factory=dict)
    """Of retrieval tasks the release's <dataset>_video2dur_idx.json, by whose numbers
    VALUE knows videos; by default those that the dataset was built with, or, where it
    has none, videos are counted as the split has them."""
    tokenizer: Path | None = None
    """RoBERTa's vocab.json and merges.txt, or another tokenizer; by default one is
    learnt from the corpora."""
    start: Path | None = None
    """Weights to begin with: released HERO or VALUE weights (.pt), a run, an exported
    folder or a language model; random ones by default."""
    model: Literal["paper", "small"] = "paper"
    """The paper's, or one that learns from nothing in minutes on a CPU."""
    width: int = 768
    """Width of the model."""
    dtype: Dtype = "float32"
    """What the layers compute in; the official runs used float16."""
    reference_gpus: int = 8
    """GPUs of the recipe: batches are as many times those of the table."""
    accumulation: int | None = None
    """Batches, all of one task, whose gradients are summed for one update."""
    steps: int | None = None
    """Updates."""
    warmup_steps: int | None = None
    """Updates over which the learning rate rises."""
    learning_rate: float | None = None
    """The peak, after the warm-up."""
    eval_every: int = 500
    """Steps from one validation, and one checkpoint, to the next."""
    split: str = "val"
    """The split that is validated and answered in the end; "val" is what VALUE
    validates each task on."""
    seed: int = 77
    """Of the training."""
    num_workers: int = 0
    """Processes that prepare batches; 0 prepares in threads."""
    mesh: MeshConfig = MeshConfig()
    """Devices: mesh.data splits batches, mesh.model splits parameters."""
    fresh: bool = False
    """Refuse to go on from what the run directory holds."""

    @property
    def official(self) -> Recipe:
        return RECIPES[self.recipe]

    @property
    def chosen(self) -> tuple[str, ...]:
        return self.tasks or tuple(self.official.ratios)

    def split_of(self, task: str) -> str:
        is_own = self.split == "val" and not self.dataset
        return VALIDATION.get(task, self.split) if is_own else self.split

    def experiment(self, task: str) -> Judging:
        """The single-task experiment, of which this is one part."""
        more: dict[str, Any] = {}
        if task in value.GROUPS["retrieval"]:
            more["channels"] = self.channels
            more["video_indices"] = self.video_indices.get(task)
        if task in self.batch_sizes:
            more["batch_size"] = self.batch_sizes[task]
        options: dict[str, Any] = {
            "run_dir": self.run_dir,
            "data_dir": self.data_dir,
            "dataset": self.dataset or task,
            "split": self.split_of(task),
            "reference_gpus": self.reference_gpus,
        }
        if self.dataset:  # one that does not divide as the task's own does
            options["train_split"] = "train"
        return TASKS[task](**options | more)


def run(config: Value) -> dict[str, Any]:
    """Trains and evaluates; returns results[task][text language][subtitle language]."""
    begin = time.monotonic()
    check(config)
    whole = train_config(config, make_tokenizer(config))
    check_corpora(config, whole.tasks)
    say(f"{config.run_dir}: {', '.join(config.chosen)}, {whole.steps} steps")
    run_dir = config.run_dir / "value"
    train(whole, run_dir, fresh=config.fresh)
    if not is_first():
        return {}
    results = evaluate(config, run_dir)
    publish(config, results, seconds=time.monotonic() - begin)
    parts = parts_of(config, whole.tasks)
    pack(config.run_dir / "submission.zip", run_dir / "predictions", parts)
    return results


def evaluate(config: Value, run_dir: Path) -> dict[str, Any]:
    """Every task on its own split; predictions are written beside the run."""
    whole, params = search.read_run(run_dir)
    return {
        name: task.evaluate(
            whole.model,
            params,
            config.split_of(name),
            predictions_dir=run_dir / "predictions" / name,
        )
        for name, task in whole.tasks.items()
    }


def make_tokenizer(config: Value) -> Path:
    """The one that is given, or one learnt from all texts of the training splits."""
    path = config.tokenizer or config.run_dir / "tokenizer.json"
    if is_first() and config.tokenizer is None and not path.exists():
        texts = [text for name in config.chosen for text in _texts(config, name)]
        tokenizers.train(texts, vocab_size=8000).save(path)
    wait_for_first()
    return path.absolute()


def _texts(config: Value, name: str) -> Iterator[str]:
    one = config.experiment(name)
    corpus = open_corpus(config.data_dir, one.corpus, one.train_split)
    yield from texts_of(corpus)
    yield from one.texts(corpus)


def train_config(config: Value, tokenizer: Path) -> TrainConfig:
    recipe = config.official
    or_official = lambda given, usual: usual if given is None else given
    tasks = {name: make_task(config, name, tokenizer) for name in config.chosen}
    return TrainConfig(
        tasks=tasks,
        model=make_model(config, tasks),
        steps=or_official(config.steps, recipe.steps),
        seed=config.seed,
        optimizer=OptimizerConfig(
            learning_rate=or_official(config.learning_rate, recipe.learning_rate),
            warmup_steps=or_official(config.warmup_steps, recipe.warmup_steps),
            head_multiplier=recipe.head_multiplier,
        ),
        mesh=config.mesh,
        accumulation=or_official(config.accumulation, recipe.accumulation),
        num_workers=config.num_workers,
        save_every=config.eval_every,
        eval_every=config.eval_every,
        eval_split=config.split,
        eval_splits={name: config.split_of(name) for name in config.chosen},
        start=Start(config.start.absolute()) if config.start else None,
    )


def make_task(config: Value, name: str, tokenizer: Path) -> Any:
    """The task of the single experiment, as the recipe mixes it with others."""
    recipe, one = config.official, config.experiment(name)
    source = Source(
        directory=config.data_dir.absolute(),
        dataset=one.corpus,
        tokenizer=tokenizer,
        row_length=256,
    )
    source = dataclasses.replace(
        one.reading(source),
        channels=config.channels,
        reads_every_line=config.fusion == "sequence",
    )
    check_vocabulary(config.start, source)
    task: Any = learned(one, source)
    mixed: dict[str, Any] = {
        "weight": (recipe.ratios | config.ratios)[name],
        "context": recipe.context,
    }
    if isinstance(task, MomentRetrieval):
        ranking = VSM(
            hard_start_step=recipe.hard_start_step,
            reference_gpus=config.reference_gpus,
        )
        rules = dataclasses.replace(task.rules, nms_threshold=None)
        longest = recipe.longest_text
        mixed |= {"objective": ranking, "rules": rules, "longest_query": longest}
    if isinstance(task, JudgingTask):
        mixed["max_text_tokens"] = recipe.longest_text
    if isinstance(task, Entailment):
        mixed |= {"is_paired": False, "is_answer_head": True}
    return dataclasses.replace(task, **mixed)


def check_corpora(config: Value, tasks: Mapping[str, Any]) -> None:
    """Refuses, before days of training, what an evaluation cannot work with."""
    for name, task in tasks.items():
        config.experiment(name).check_corpus(task.source)


def make_model(config: Value, tasks: Mapping[str, Any]) -> HeroConfig:
    """One model for corpora of one kind of features, and captions of one language."""
    sources = {name: task.source for name, task in tasks.items()}
    first = next(iter(sources.values()))
    _same(config, {n: one.feature_width for n, one in sources.items()}, "features")
    model = small_model(first, width=config.width)
    if config.model == "paper":
        model = paper_model(first, width=config.width, dtype=config.dtype)
        model = sized_like(config.start, model)
    longest = max(source.max_frames for source in sources.values())
    model = dataclasses.replace(
        model, fusion=config.fusion, max_frames=max(model.max_frames, longest)
    )
    written = {n: tasks[n] for n in tasks if isinstance(tasks[n], Captioning)}
    if not written:
        return model
    languages = {name: sources[name].used_languages for name in written}
    _same(config, languages, "languages")
    return dataclasses.replace(
        model,
        decoder=dataclasses.replace(model.cross_modal, num_layers=NUM_LAYERS),
        num_caption_languages=len(next(iter(languages.values()))),
    )


def _same(config: Value, found: Mapping[str, Any], what: str) -> None:
    """Refuses corpora that one model cannot read."""
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{name} {value}" for name, value in found.items())
        raise UserError(
            f"{config.data_dir}: {what} differ: {listed}; build the corpora alike, or "
            f"name --tasks that agree"
        )


def publish(config: Value, results: Mapping[str, Any], *, seconds: float) -> None:
    """Prints the table and writes results.json."""
    found = scores(results)
    splits = {name: config.split_of(name) for name in config.chosen}
    print(*table(found, splits), sep="\n")
    meta = describe("experiments.value", seconds, seed=config.seed)
    content = {"results": results, "scores": found, "means": value.means(found)}
    text = json.dumps(content | {"meta": meta}, indent=1)
    write_whole(config.run_dir / "results.json", text + "\n")


def parts_of(config: Value, tasks: Mapping[str, Task]) -> Iterator[Part]:
    for name, task in tasks.items():
        yield Part(name, task, config.split_of(name))


def check(config: Value) -> None:
    """Refuses what cannot work before anything is made."""
    check_options(config, ("reference_gpus", "eval_every"))
    for name in ("accumulation", "steps", "warmup_steps"):
        if (found := getattr(config, name)) is not None and found < 1:
            raise UserError(f"--{name}: found {found}, expected 1 or more")
    for option in ("tasks", "ratios", "batch_sizes", "video_indices"):
        for name in getattr(config, option):
            if name not in config.official.ratios:
                known = ", ".join(config.official.ratios)
                raise UserError(
                    f"--{option}: {name} is not of recipe {config.recipe}, which has "
                    f"{known}"
                )
    for name in config.video_indices:
        if name not in value.GROUPS["retrieval"]:
            known = ", ".join(value.GROUPS["retrieval"])
            raise UserError(f"--video_indices: {name} numbers no videos, as {known} do")
    for option in ("ratios", "batch_sizes"):
        for name, found in getattr(config, option).items():
            if found < 1:
                raise UserError(
                    f"--{option}: {name}: found {found}, expected 1 or more"
                )
    if config.fusion != "local" and config.channels == "subtitles":
        raise UserError(
            f"--channels subtitles: --fusion {config.fusion} needs frames; choose one "
            f"of the two"
        )


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    errors.run_main(lambda: _main(command_line.parse(Value, description=__doc__)))


def _main(config: Value) -> None:
    check(config)
    settle_in(config.run_dir)
    processes.start(processes.from_environment())
    run(config)
    wait_for_first()


if __name__ == "__main__":
    main()
