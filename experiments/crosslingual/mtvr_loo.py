"""Human-written bilingual text: find a video by the one description that was held out.

    python -m experiments.crosslingual.mtvr_loo --data_dir DIR --run_dir runs/mtvr_loo \
        --objective vsm --fold 0

mTVR leave-one-out: each of the 2,179 videos of the validation set has five timed
queries in English and Chinese. One is held out in both languages and searched for; the
other four, at their real times, stand for the subtitles. Folds are by video. The
parallel texts of the two unlinked test sets align the languages.

What it is not: a result on mTVR. Real subtitles and visual features are not public, so
the dialogue is made of descriptions, and the visual stream is empty (zeros).

Trains from nothing on a CPU and prints the 2 x 2 language matrix beside BM25, computed
here on exactly the same gallery and queries, and as a check on all 2,179 videos.
"""

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_pipelines.bm25 import BM25, ranks_of, tokens_of
from data_pipelines.build import build_dataset
from data_pipelines.builders.mtvr import TEXT_ONLY, read_queries
from data_pipelines.builders.mtvr_loo import SPLIT
from data_pipelines.builders.raw import Request
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.annotations import read_durations
from data_pipelines.schema import Corpus
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
from experiments.quickstart import CONTRAST, LOCAL, RANKING
from hero_jax import command_line, errors, processes, report, report_html, search
from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.ranking import VSM
from hero_jax.losses.span import SpanLoss
from hero_jax.metrics.recall import ranking
from hero_jax.optimizer import OptimizerConfig
from hero_jax.retrieval.spans import SpanRules
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.parallel_text import ParallelText
from hero_jax.tasks.source import Source
from hero_jax.train import TrainConfig, train

Objective = Literal["vsm", "vsm_global", "info_nce", "info_nce_local"]
OBJECTIVES: Mapping[str, tuple[VSM | InfoNCE, SpanLoss | None]] = {
    "vsm": (RANKING, LOCAL),
    "vsm_global": (RANKING, None),
    "info_nce": (CONTRAST, None),
    "info_nce_local": (CONTRAST, LOCAL),
}
PUBLISHED_BM25 = {"en": 25.08, "zh": 23.62}
"""R@1 on all videos as measured once, each of the five queries held out in turn."""


@dataclasses.dataclass(frozen=True)
class MtvrLoo:
    """Find a video of real human text by the one description that was held out."""

    data_dir: Path
    """The mTVR release: tvr_zh_en_val_release.jsonl and its neighbours."""
    run_dir: Path
    """Where everything goes that the run makes."""
    objective: Objective = "vsm"
    """What is trained."""
    fold: int = 0
    """Which fifth of the videos is tested; the next one validates."""
    steps: int = 1600
    """Updates."""
    seed: int = 0
    """Of the training."""
    batch_size: int = 64
    """Videos in a batch."""
    parallel_batch_size: int = 192
    """Pairs of parallel texts in a batch."""
    width: int = 128
    """Width of the small HERO."""
    mesh: MeshConfig = MeshConfig()
    """Devices: mesh.data splits batches, mesh.model splits parameters."""
    fresh: bool = False
    """Refuse to go on from what the run directory holds."""


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    config = command_line.parse(MtvrLoo, description=__doc__)
    check_options(config, ("steps", "batch_size", "parallel_batch_size"))
    settle_in(config.run_dir)
    processes.start(processes.from_environment())
    run(config)
    wait_for_first()


def run(config: MtvrLoo) -> dict[str, Any]:
    """Everything the module says; returns results[objective][query][subtitles]."""
    settle_in(config.run_dir)
    with holding(config.run_dir, fresh=config.fresh):
        return _run(config)


def _run(config: MtvrLoo) -> dict[str, Any]:
    begin = time.monotonic()
    source = prepare(config)
    run_dir = config.run_dir / config.objective
    say(f"{config.objective}: {config.steps} steps")
    train(train_config(config, source), run_dir, fresh=config.fresh)
    if not is_first():
        return {}
    results = {
        config.objective: search.evaluate(run_dir, "test"),
        "BM25": bm25_matrix(source.open("test").corpus),
    }
    results = publish(config, results, seconds=time.monotonic() - begin)
    print(check_of_bm25(config.data_dir))
    return results


def prepare(config: MtvrLoo) -> Source:
    """The dataset of the fold and a vocabulary learnt from its training split."""
    out, name = config.run_dir / "dataset", f"mtvr_loo_fold{config.fold}"
    tokenizer = config.run_dir / f"tokenizer-{name}.json"
    if is_first():
        built = build_dataset(
            "mtvr_loo",
            data_dir=config.data_dir,
            out=out,
            fold=config.fold,
            is_replacing=False,
        )
        say_built(built)
        corpus = open_corpus(out, name, "train")
        check_parallel(corpus, config.data_dir)
        make_tokenizer(tokenizer, corpus, vocab_size=8000)
    wait_for_first()
    return Source(
        directory=out,
        dataset=name,
        tokenizer=tokenizer,
        languages=open_corpus(out, name, "train").languages,
        row_length=64,
    )


def check_parallel(corpus: Corpus, data_dir: Path) -> None:
    """The texts of the test splits, which name no video, are trained from, too."""
    if not corpus.parallel:
        files = " or ".join(f"tvr_zh_en_{s}_release.jsonl" for s in TEXT_ONLY)
        raise errors.UserError(
            f"{data_dir}: found no texts of {files}, expected at least one of these "
            "files beside the others: add it, and name another --run_dir"
        )


def train_config(config: MtvrLoo, source: Source) -> TrainConfig:
    objective, span = OBJECTIVES[config.objective]
    tasks = {
        "moments": MomentRetrieval(
            source=source,
            objective=objective,
            span=span,
            batch_size=config.batch_size,
            num_subtitle_queries=2,
            num_annotated_queries=0,
            span_rate=1.0,
            rules=SpanRules(max_videos=10, max_frames=40),
            weight=1,
        ),
        "parallel": ParallelText(
            source=source, batch_size=config.parallel_batch_size, weight=1
        ),
    }
    return TrainConfig(
        tasks=tasks,
        model=small_model(source, width=config.width, dropout=0.1),
        steps=config.steps,
        seed=config.seed,
        mesh=config.mesh,
        optimizer=OptimizerConfig(
            learning_rate=1e-3, warmup_steps=max(1, config.steps // 10)
        ),
        log_every=20,
        save_every=200,
    )


def publish(
    config: MtvrLoo, results: dict[str, Any], *, seconds: float
) -> dict[str, Any]:
    """Prints the tables; writes results.json and report.html, without any text."""
    facts = {
        "dataset": "mTVR leave-one-out (not mTVR): descriptions stand for subtitles, "
        "no visual features",
        "fold": config.fold,
        "seed": config.seed,
        "steps": config.steps,
        "batch_size": config.batch_size,
        "parallel_batch_size": config.parallel_batch_size,
        "width": config.width,
    }
    path = config.run_dir / "results.json"
    results = with_earlier(path, results, facts)
    print(report.tables(results))
    meta = describe("experiments.crosslingual.mtvr_loo", seconds, **facts)
    report.write_results(path, results, meta)
    files = {name: config.run_dir / name / "metrics.jsonl" for name in results}
    page = report_html.Page(
        title="mTVR leave-one-out",
        results=results,
        meta=meta,
        curves={
            name: report.read_curves(file)
            for name, file in files.items()
            if file.is_file()
        },
        show_texts=False,
    )
    report_html.write_report(config.run_dir / "report.html", page)
    say(f"{config.run_dir / 'report.html'} after {seconds:.0f} s")
    return results


def bm25_matrix(corpus: Corpus) -> dict[str, dict[str, Any]]:
    """BM25 in the place of the model: same gallery, same queries, all languages."""
    return {
        asked: {read: bm25_cell(corpus, asked, read) for read in corpus.languages}
        for asked in corpus.languages
    }


def bm25_cell(corpus: Corpus, asked: str, read: str) -> dict[str, Any]:
    """Words (characters and pairs in Han) of the query among those of the subtitles."""
    documents = [[s.text for s in video.subtitles[read]] for video in corpus.videos]
    places = {video.video_id: i for i, video in enumerate(corpus.videos)}
    ranks = bm25_ranks(
        documents,
        [query.texts[asked] for query in corpus.queries],
        [places[str(query.video_id)] for query in corpus.queries],
    )
    counts = {"num_queries": len(ranks), "num_videos": len(documents)}
    return {"VR": ranking(ranks), "SVMR": None, "VCMR": None, **counts}


def bm25_ranks(
    documents: Sequence[Sequence[str]], queries: Sequence[str], videos: Sequence[int]
) -> np.ndarray:
    """Rank of each query's own video; `documents[v]` are the lines of video v."""
    index = BM25(
        [[t for line in lines for t in tokens_of(line)] for lines in documents]
    )
    return np.array(ranks_of(index, list(map(tokens_of, queries)), videos))


def check_of_bm25(data_dir: Path) -> str:
    """BM25 on all videos, the k-th query by id held out of each, beside its reference.

    All five in turn, which is less a matter of chance than the one held out in a fold.
    """
    lines = ["check: BM25, every query of every video held out once"]
    for language, published in PUBLISHED_BM25.items():
        texts = texts_by_id(data_dir, language)
        ranks = np.concatenate([held_out_ranks(texts, k) for k in range(5)])
        lines.append(
            f"  {language}-{language}: R@1 {100 * np.mean(ranks == 1):.2f} "
            f"(reference {published}), MRR {np.mean(1 / ranks):.3f}, "
            f"{len(texts)} videos, {len(ranks)} queries"
        )
    return "\n".join(lines)


def texts_by_id(data_dir: Path, language: str) -> list[list[str]]:
    """The texts of each video of the release in the order of their ids."""
    videos = read_durations(data_dir / "tvr_video2dur_idx.json")[SPLIT]
    queries = read_queries(Request(data_dir=data_dir), SPLIT, videos, {})
    texts: dict[str, list[str]] = {video_id: [] for video_id in videos}
    for query in sorted(queries, key=lambda query: int(query.query_id)):
        texts[str(query.video_id)].append(query.texts[language])
    return list(texts.values())


def held_out_ranks(texts: Sequence[Sequence[str]], k: int) -> np.ndarray:
    """Ranks when the k-th text of every video that has one is its query."""
    asked = [v for v, lines in enumerate(texts) if k < len(lines)]
    documents = [[*lines[:k], *lines[k + 1 :]] for lines in texts]
    return bm25_ranks(documents, [texts[v][k] for v in asked], asked)


if __name__ == "__main__":
    errors.run_main(main)
