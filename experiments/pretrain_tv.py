"""HERO's own pre-training: hidden words, frames, order and subtitles of TV videos.

    python -m data_pipelines.build ... --out DIR
    python -m experiments.pretrain_tv --run_dir runs/pretrain_tv --data_dir DIR \
        --dataset tv --tokenizer ROBERTA --start ROBERTA/model.safetensors

The defaults are the official recipe `pretrain-tv-16gpu` (C.7): tasks mlm, mfm, fom and
vsm drawn 2 : 2 : 1 : 2, two batches of 16 x 32 videos an update, AdamW at 3e-5 after
10,000 steps of warm-up, 100,000 steps. Any built corpus whose videos have subtitles
will do; on a CPU, a miniature:

    python -m data_pipelines.microtv --out runs/micro --videos 120
    python -m data_pipelines.build microtv --data_dir runs/micro --out runs/micro_built
    python -m experiments.pretrain_tv --run_dir runs/pretrain_microtv \
        --data_dir runs/micro_built --dataset microtv --reference_gpus 1 \
        --batch_size 8 --accumulation 1 --width 64 --steps 300 --warmup_steps 30 \
        --learning_rate 1e-3 --eval_every 300

From nothing, on 120 videos, this takes the losses mlm 7.7 -> 5.1, mfm 7.7 -> 3.4, fom
4.6 -> 3.9 and vsm 1.72 -> 1.59, and finds 11 % of the words and 7 % of the frames. The
official start is meant for towers that begin as RoBERTa: frame order and matching stay
at chance here. A smaller model with the start of `small_model` learns all four
(`tests/experiments/pretrain_miniature.py`).

Every task is measured on the validation split as officially (C.8): losses, accuracies,
distances. The last numbers are printed and stand in `results.json`.
"""

import dataclasses
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from data_pipelines.corpus import open_corpus
from data_pipelines.files import write_whole
from experiments.common import (
    Dtype,
    check_options,
    check_vocabulary,
    describe,
    holding,
    is_first,
    make_tokenizer,
    paper_model,
    say,
    settle_in,
    sized_like,
    wait_for_first,
)
from hero_jax import checkpoint, command_line, errors, processes
from hero_jax.losses.frame_nce import FrameNce
from hero_jax.losses.ranking import VSM
from hero_jax.losses.regression import FrameDistance
from hero_jax.optimizer import OptimizerConfig
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.base import Task
from hero_jax.tasks.fom import Fom
from hero_jax.tasks.mfm import Mfm
from hero_jax.tasks.mlm import Mlm
from hero_jax.tasks.source import Source
from hero_jax.tasks.vsm import Vsm
from hero_jax.train import TrainConfig, train
from hero_jax.warm_start import Start

MASKED_FRAMES: Mapping[str, FrameNce | FrameDistance] = {
    "mfm-nce": FrameNce(),
    "mffr": FrameDistance(),
}


@dataclasses.dataclass(frozen=True)
class PretrainTv:
    """HERO's own pre-training on videos with subtitles."""

    run_dir: Path
    """Where everything goes that the run makes."""
    data_dir: Path
    """Where `python -m data_pipelines.build` wrote the corpus (its --out)."""
    dataset: str = "tv"
    """The corpus' name."""
    tokenizer: Path | None = None
    """RoBERTa's vocab.json and merges.txt, or another tokenizer; by default one is
    learnt from the corpus."""
    start: Path | None = None
    """Weights to begin with: RoBERTa, XLM-R or multilingual BERT (every other layer, as
    officially), whose sizes the model takes; released HERO weights (.pt); a run or an
    exported folder. Random ones by default."""
    languages: tuple[str, ...] = ()
    """Languages that are read; empty means all of the corpus. A subtitle that is held
    out asks in any of them."""
    masked_frames: Literal["mfm-nce", "mffr"] = "mfm-nce"
    """How hidden frames are told: as a choice, or as regression."""
    reference_gpus: int = 16
    """GPUs of the recipe. A batch has as many times `batch_size` videos, frames are
    chosen among those of one GPU, and the ranking loss is divided by it (H-4)."""
    batch_size: int = 32
    """Videos in a batch of one reference GPU."""
    accumulation: int = 2
    """Batches whose gradients are summed for one update."""
    steps: int = 100_000
    """Updates."""
    learning_rate: float = 3e-5
    """The peak, after the warm-up."""
    warmup_steps: int = 10_000
    """Updates over which the learning rate rises."""
    eval_every: int = 500
    """Steps from one validation, and one checkpoint, to the next."""
    width: int = 768
    """Width of the model: one attention head for each 64."""
    dtype: Dtype = "float32"
    """What the layers compute in; the official runs used float16."""
    seed: int = 77
    """Of the training."""
    num_workers: int = 0
    """Processes that prepare batches; 0 prepares in threads."""
    mesh: MeshConfig = MeshConfig()
    """Devices: mesh.data splits batches, mesh.model splits parameters."""
    fresh: bool = False
    """Refuse to go on from what the run directory holds."""


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    config = command_line.parse(PretrainTv, description=__doc__)
    check(config)
    settle_in(config.run_dir)
    processes.start(processes.from_environment())
    run(config)
    wait_for_first()


def run(config: PretrainTv) -> dict[str, Mapping[str, Any]]:
    """Everything the module says; returns the validation metrics of every task."""
    check(config)
    with holding(config.run_dir, fresh=config.fresh):
        return _run(config)


def _run(config: PretrainTv) -> dict[str, Mapping[str, Any]]:
    begin = time.monotonic()
    source = prepare(config)
    check_vocabulary(config.start, source)
    whole = train_config(config, source)
    say(f"{config.run_dir}: {config.steps} steps")
    train(whole, config.run_dir / "pretrain", fresh=config.fresh)
    if not is_first():
        return {}
    results = validated(whole, config.run_dir / "pretrain")
    publish(config, results, seconds=time.monotonic() - begin)
    return results


def prepare(config: PretrainTv) -> Source:
    """The corpus as a source of examples; a tokenizer is learnt where none is given."""
    tokenizer = config.tokenizer or config.run_dir / "tokenizer.json"
    if is_first() and config.tokenizer is None:
        corpus = open_corpus(config.data_dir, config.dataset, "train")
        make_tokenizer(tokenizer, corpus, vocab_size=8000)
    wait_for_first()
    return Source(
        directory=config.data_dir.absolute(),
        dataset=config.dataset,
        tokenizer=tokenizer.absolute(),
        languages=config.languages,
        max_query_tokens=61,  # `<s>` and 60 more (C.5)
        row_length=256,  # no subtitle with its frames is longer
    )


def train_config(config: PretrainTv, source: Source) -> TrainConfig:
    model = paper_model(source, width=config.width, dtype=config.dtype)
    return TrainConfig(
        tasks=tasks_of(config, source),
        model=sized_like(config.start, model),
        steps=config.steps,
        seed=config.seed,
        optimizer=OptimizerConfig(
            learning_rate=config.learning_rate, warmup_steps=config.warmup_steps
        ),
        mesh=config.mesh,
        accumulation=config.accumulation,
        pack_groups=config.reference_gpus,
        num_workers=config.num_workers,
        save_every=config.eval_every,
        eval_every=config.eval_every,
        start=Start(config.start.absolute()) if config.start else None,
    )


def tasks_of(config: PretrainTv, source: Source) -> dict[str, Task]:
    """The four tasks, drawn 2 : 2 : 1 : 2 (C.1)."""
    size = config.reference_gpus * config.batch_size
    objective = MASKED_FRAMES[config.masked_frames]
    ranking = VSM(reference_gpus=config.reference_gpus)
    return {
        "mlm": Mlm(source=source, batch_size=size, weight=2),
        "mfm": Mfm(source=source, batch_size=size, weight=2, objective=objective),
        "fom": Fom(source=source, batch_size=size, weight=1),
        "vsm": Vsm(source=source, batch_size=size, weight=2, objective=ranking),
    }


def validated(config: TrainConfig, run_dir: Path) -> dict[str, Mapping[str, Any]]:
    """Every task on the validation split, with the newest parameters."""
    _, params = checkpoint.load_params(run_dir)
    return {
        name: task.evaluate(config.model, params, config.eval_split)
        for name, task in config.tasks.items()
    }


def publish(
    config: PretrainTv, results: Mapping[str, Mapping[str, Any]], *, seconds: float
) -> None:
    """Prints the validation metrics and writes results.json."""
    for name, metrics in results.items():
        numbers = "  ".join(f"{key} {value:.4f}" for key, value in metrics.items())
        print(f"{name:4} {numbers}")
    facts: dict[str, Any] = {"seed": config.seed, "steps": config.steps}
    meta = describe("experiments.pretrain_tv", seconds, **facts)
    content = json.dumps({"results": results, "meta": meta}, indent=2)
    write_whole(config.run_dir / "results.json", content + "\n")


def check(config: PretrainTv) -> None:
    """Refuses what cannot work before anything is made."""
    counts = ("reference_gpus", "batch_size", "accumulation", "steps", "eval_every")
    check_options(config, counts)


if __name__ == "__main__":
    errors.run_main(main)
