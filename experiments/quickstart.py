"""Raw trilingual video in, cross-lingual retrieval table out: the whole system at once.

    python -m experiments.quickstart --run_dir runs/quickstart

Renders the miniature TV corpus `microtv` (real video files, subtitles in three
languages), extracts frame features, builds the dataset, trains one small HERO for each
objective from the same initial parameters on the same batches, measures every query
language against every subtitle language, prints the tables and writes `results.json`
and a self-contained `report.html`. Killed and started again, it goes on where it was.
"""

import dataclasses
import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.features.reader import read_frames
from data_pipelines.microtv.generate import generate
from experiments.common import (
    check_options,
    describe,
    holding,
    is_first,
    make_tokenizer,
    say,
    say_built,
    settle_in,
    small_model,
    wait_for_first,
    with_earlier,
)
from hero_jax import (
    command_line,
    errors,
    pictures,
    processes,
    report,
    report_html,
    search,
    sharding,
)
from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.ranking import VSM
from hero_jax.losses.span import SpanLoss
from hero_jax.optimizer import OptimizerConfig
from hero_jax.retrieval.spans import SpanRules
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.fom import Fom
from hero_jax.tasks.mfm import Mfm
from hero_jax.tasks.mlm import Mlm
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.source import Source
from hero_jax.train import TrainConfig, train

Objective = Literal["vsm", "vsm_global", "info_nce", "info_nce_local"]

RANKING = VSM(margin=0.2, context_weight=4.0, query_weight=4.0, hard_start_step=None)
CONTRAST = InfoNCE(temperature=0.2)
LOCAL = SpanLoss(weight=0.05)
OBJECTIVES: Mapping[str, tuple[VSM | InfoNCE, SpanLoss | None]] = {
    "vsm": (RANKING, LOCAL),
    "vsm_global": (RANKING, None),
    "info_nce": (CONTRAST, None),
    "info_nce_local": (CONTRAST, LOCAL),
}
"""Global alignment, and local alignment or none."""


@dataclasses.dataclass(frozen=True)
class Quickstart:
    """Raw trilingual video in, cross-lingual retrieval table out."""

    run_dir: Path
    """Where everything goes that the run makes."""
    data_dir: Path | None = None
    """A microtv corpus to use as it is, or where to generate one; by default `data` in
    the run directory."""
    videos: int = 520
    """Videos to generate: 70 % train, 10 % validate, 20 % test."""
    steps: int = 180
    """Updates of each objective."""
    seed: int = 0
    """Of the videos and of the training."""
    mesh: MeshConfig = MeshConfig()
    """Devices: mesh.data splits batches, mesh.model splits parameters."""
    objectives: tuple[Objective, ...] = (
        "vsm",
        "vsm_global",
        "info_nce",
        "info_nce_local",
    )
    """What is compared; each gets its own directory."""
    batch_size: int = 32
    """Videos in a batch; fewer where the corpus trains on fewer."""
    width: int = 64
    """Width of the small HERO."""
    fresh: bool = False
    """Refuse to go on from what the run directory holds."""


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    config = command_line.parse(Quickstart, description=__doc__)
    check(config)
    settle_in(config.run_dir)
    processes.start(processes.from_environment())
    run(config)


def run(config: Quickstart) -> Mapping[str, Any]:
    """Everything the module says; returns results[objective][query][subtitles]."""
    check(config)
    settle_in(config.run_dir)
    with holding(config.run_dir, fresh=config.fresh):
        return _run(config)


def _run(config: Quickstart) -> Mapping[str, Any]:
    begin = time.monotonic()
    sharding.make_mesh(config.mesh)  # refused before anything is made
    source, raw = prepare(config)
    source.open("test")  # a corpus without it is refused before anything is trained
    if (size := batch_size(config, source)) != config.batch_size:
        say(f"batches of {size} videos: what the corpus and the mesh admit")
    results: dict[str, Any] = {}
    for name in config.objectives:
        run_dir = config.run_dir / name
        say(f"{name}: {config.steps} steps")
        train(train_config(config, source, name), run_dir, fresh=config.fresh)
        if is_first():
            results[name] = search.evaluate(run_dir, "test")
        wait_for_first()
    if is_first():
        results = publish(config, results, raw, seconds=time.monotonic() - begin)
    wait_for_first()
    return results


def prepare(config: Quickstart) -> tuple[Source, Path]:
    """The corpus as a source of examples, made unless there, and its raw files."""
    data_dir = config.data_dir or config.run_dir / "data"
    if is_first():
        workers = 2
        if config.data_dir is None or not (data_dir / "manifest.json").is_file():
            say(f"microtv: {config.videos} videos in {data_dir}")
            generate(
                data_dir, num_videos=config.videos, seed=config.seed, workers=workers
            )
        out = config.run_dir / "dataset"
        built = build_dataset(
            "microtv", data_dir=data_dir, out=out, workers=workers, is_replacing=False
        )
        say_built(built)
        corpus = open_corpus(out, "microtv", "train")
        make_tokenizer(config.run_dir / "tokenizer.json", corpus, vocab_size=1500)
    wait_for_first()
    return source_of(config), data_dir


def source_of(config: Quickstart) -> Source:
    return Source(
        directory=config.run_dir / "dataset",
        dataset="microtv",
        tokenizer=config.run_dir / "tokenizer.json",
        row_length=64,
    )


def train_config(config: Quickstart, source: Source, name: str) -> TrainConfig:
    """One run: the objectives differ in `objective` and `span`, in nothing else.

    Words, frames and their order are learnt beside, as officially (C.1), but seldom:
    so few steps are for retrieval first.
    """
    objective, span = OBJECTIVES[name]
    size = batch_size(config, source)
    tasks = {
        "mlm": Mlm(source=source, batch_size=size, weight=2),
        "mfm": Mfm(source=source, batch_size=size, weight=2),
        "fom": Fom(source=source, batch_size=size, weight=1),
        "moments": MomentRetrieval(
            source=source,
            objective=objective,
            span=span,
            batch_size=size,
            num_subtitle_queries=1,
            num_annotated_queries=4,
            span_rate=1.0,
            no_subtitles_rate=0.15,
            rules=SpanRules(max_videos=10, max_frames=16),
            weight=30,
        ),
    }
    return TrainConfig(
        tasks=tasks,
        model=small_model(source, width=config.width),
        steps=config.steps,
        seed=config.seed,
        mesh=config.mesh,
        optimizer=OptimizerConfig(
            learning_rate=1.5e-3, warmup_steps=max(1, config.steps // 10)
        ),
        log_every=10,
        save_every=100,
    )


def batch_size(config: Quickstart, source: Source) -> int:
    """As asked for, or what a small corpus and the mesh admit."""
    most = min(config.batch_size, len(source.open("train")))
    return max(1, most // config.mesh.data) * config.mesh.data


def publish(
    config: Quickstart, results: Mapping[str, Any], raw: Path, *, seconds: float
) -> dict[str, Any]:
    """Prints the tables; writes results.json and report.html; returns all results."""
    facts = {
        "seed": config.seed,
        "steps": config.steps,
        "videos": num_videos(raw),
        "batch_size": batch_size(config, source_of(config)),
        "width": config.width,
    }
    path = config.run_dir / "results.json"
    results = with_earlier(path, results, facts)
    print(report.tables(results))
    meta = describe("experiments.quickstart", seconds, **facts)
    report.write_results(path, results, meta)
    page = report_html.Page(
        title="hero_jax quickstart: microtv",
        results=results,
        meta=meta,
        curves={
            name: report.read_curves(config.run_dir / name / "metrics.jsonl")
            for name in results
        },
        examples=tuple(examples_of(config, raw)),
    )
    report_html.write_report(config.run_dir / "report.html", page)
    say(f"{config.run_dir / 'report.html'} after {seconds:.0f} s")
    return results


def examples_of(config: Quickstart, raw: Path) -> Iterator[report.Example]:
    """For the first objective with moments: queries of each type in each language."""
    name = next((n for n in config.objectives if OBJECTIVES[n][1]), None)
    if name is None:
        return
    searcher = search.load(config.run_dir / name)
    corpus = source_of(config).open("test").corpus
    durations = {video.video_id: video.duration for video in corpus.videos}
    for number, language in enumerate(corpus.languages):
        other = corpus.languages[(number + 1) % len(corpus.languages)]
        for kind in ("v", "t", "vt"):
            chosen = [q for q in corpus.queries if q.kind == kind and q.video_id]
            for query in chosen[number : number + 1]:
                found = searcher.search(query.texts[language], 3, subtitles=other)
                yield report.Example(
                    query_id=query.query_id,
                    query=query.texts[language],
                    language=language,
                    kind=kind,
                    video_id=str(query.video_id),
                    moment=query.moments[0],
                    hits=tuple(hit_of(answer, durations, raw) for answer in found),
                    objective=name,
                    subtitles=other,
                )


def hit_of(answer: Any, durations: Mapping[str, float], raw: Path) -> report.Hit:
    """An answer, with three pictures of the moment where there is a video file."""
    return report.Hit(
        video_id=answer.video,
        score=answer.score,
        start=answer.start,
        end=answer.end,
        duration=durations[answer.video],
        thumbnails=thumbnails(raw / "videos" / f"{answer.video}.mp4", answer),
    )


def thumbnails(path: Path, answer: Any) -> tuple[bytes, ...]:
    if not path.is_file():
        return ()
    frames, duration = read_frames(path, 1.5)
    times = np.linspace(answer.start, min(answer.end, duration), 3)
    numbers = np.minimum((times / 1.5).astype(int), len(frames) - 1)
    return tuple(pictures.png(frames[n]) for n in sorted(set(numbers)))


def num_videos(raw: Path) -> int:
    """Videos in all splits of the corpus that was used."""
    splits = json.loads((raw / "manifest.json").read_text("utf-8"))["splits"]
    return sum(map(len, splits.values()))


def check(config: Quickstart) -> None:
    """Refuses what cannot work before anything is made."""
    check_options(config, ("steps", "videos", "batch_size"))
    if not config.objectives:
        raise errors.UserError(
            f"--objectives: found none, expected some of {', '.join(OBJECTIVES)}"
        )


if __name__ == "__main__":
    errors.run_main(main)
