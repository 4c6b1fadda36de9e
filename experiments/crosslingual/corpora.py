"""The corpora of the study: how each is made, and what a training step reads of it."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data_pipelines import synthetic
from data_pipelines.build import build_dataset
from data_pipelines.corpus import StoredFeatures, open_corpus
from data_pipelines.files import write_whole
from data_pipelines.microtv.generate import generate
from data_pipelines.schema import Corpus
from experiments.common import make_tokenizer
from hero_jax.errors import UserError
from hero_jax.retrieval.spans import SpanRules
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.source import Source

MICROTV_VIDEOS = 520
MICROTV_SEED = 0


@dataclasses.dataclass(frozen=True)
class StudyCorpus:
    """What is the same for all arms on a corpus."""

    visual: str
    """What its frames are where none are given, for the head of every table."""
    vocab_size: int
    """Words of the tokenizer that is learnt from its training split."""
    retrieval: Mapping[str, Any]
    """Fields of MomentRetrieval, other than the objective, the span loss and the
    languages."""
    interval: float = 1.5
    """Seconds between frames."""
    release: str | None = None
    """The corpus whose raw release it is made of; None for one of its own."""
    is_synthetic: bool = False
    """Whether its frames are made of what its moments are about."""
    note: str = ""
    """What has to be known to read its tables."""


LEAVE_ONE_OUT: Mapping[str, Any] = {
    "num_subtitle_queries": 2,
    "num_annotated_queries": 0,
    "span_rate": 1.0,
    "batch_size": 64,
    "rules": SpanRules(max_videos=10, max_frames=40),
}
ANNOTATED: Mapping[str, Any] = {
    **LEAVE_ONE_OUT,
    "num_subtitle_queries": 0,
    "num_annotated_queries": 2,
}
"""Where queries are no subtitles: those of a video's five that a step reads."""
TRANSLATED = "The Chinese that training reads is Google's; what is judged is human."
SYNTHETIC_SEED = 0
CORPORA: Mapping[str, StudyCorpus] = {
    "mtvr_loo": StudyCorpus("none (zeros)", 8000, LEAVE_ONE_OUT),
    "youcook2_loo": StudyCorpus("none (zeros)", 6000, LEAVE_ONE_OUT, interval=3.0),
    "mtvr_tvc": StudyCorpus(
        "none (zeros); subtitles are machine captions of the real videos",
        8000,
        ANNOTATED,
        note="Captions are English alone: within is English to English, across is "
        "Chinese to English. They stand at the very moments that are asked for, so "
        "moments are not found freely.",
    ),
    "mtvr_split": StudyCorpus(
        "none (zeros)",
        16000,
        {
            "num_subtitle_queries": 2,
            "num_annotated_queries": 3,
            "span_rate": 1.0,
            "batch_size": 128,
        },
        note="Real subtitles where the release has them.",
    ),
    "vatex_loo": StudyCorpus(
        "none (zeros)",
        8000,
        ANNOTATED,
        note="Nothing is known of when in a video: no moments are asked for.",
    ),
    "mtvr_loo_synthetic": StudyCorpus(
        "synthetic",
        8000,
        LEAVE_ONE_OUT,
        release="mtvr_loo",
        is_synthetic=True,
    ),
    "mtvr_loo_translated": StudyCorpus(
        "none (zeros)", 8000, LEAVE_ONE_OUT, release="mtvr_loo", note=TRANSLATED
    ),
    "mtvr_loo_translated_bare": StudyCorpus(
        "none (zeros)",
        8000,
        LEAVE_ONE_OUT,
        release="mtvr_loo",
        note=f"{TRANSLATED} Its Latin letters are left out.",
    ),
    "microtv": StudyCorpus(
        "colours and motion of generated videos",
        1500,
        {
            "num_subtitle_queries": 1,
            "num_annotated_queries": 4,
            "span_rate": 1.0,
            "no_subtitles_rate": 0.15,
            "batch_size": 32,
            "rules": SpanRules(max_videos=10, max_frames=16),
        },
    ),
}


def release_of(name: str) -> str:
    """The option that names the raw release of a corpus."""
    return CORPORA[name].release or name


def prepare(
    name: str,
    data: Path | None,
    out: Path,
    features: Path | None = None,
    signal_to_noise: float = 1.0,
) -> Source:
    """The corpus as a source of examples, built under `out` unless it is there.

    `data` is the raw release; microtv is generated. Raises UserError without one.
    `features` holds a folder of .npz files for each corpus whose frames are real,
    `signal_to_noise` is that of frames that are synthetic.
    """
    raw = _microtv(out) if name == "microtv" else data
    if raw is None:
        option = f"--{release_of(name)}"
        raise UserError(f"{option}: found none, expected the folder of the raw release")
    corpus = CORPORA[name]
    built = build_dataset(
        name,
        data_dir=raw,
        out=out / "datasets",
        features=_synthetic(name, raw, out, signal_to_noise)
        if corpus.is_synthetic
        else _given(name, features),
        interval=corpus.interval,
        workers=2,
    )
    return Source(
        directory=out / "datasets",
        dataset=built.dataset,
        tokenizer=_tokenizer(name, out, built.dataset),
        row_length=64,
    )


def _tokenizer(name: str, out: Path, dataset: str) -> Path:
    """Learnt from the training split, and again from another release's."""
    path, note = out / f"tokenizer-{name}.json", out / f"tokenizer-{name}.of"
    training = open_corpus(out / "datasets", dataset, "train")
    known = json.dumps(training.fingerprint, sort_keys=True)
    if not note.exists() or note.read_text("utf-8") != known:
        path.unlink(missing_ok=True)
        make_tokenizer(path, training, vocab_size=CORPORA[name].vocab_size)
        write_whole(note, known)
    return path


def _microtv(out: Path) -> Path:
    folder = out / "microtv"
    generate(folder, num_videos=MICROTV_VIDEOS, seed=MICROTV_SEED, workers=2)
    return folder


def check_features(features: Path) -> list[str]:
    """The corpora that have a folder of frames there.

    Raises UserError where none has, or where frames were made and not seen.
    """
    names = [name for name in CORPORA if (features / name).is_dir()]
    if not names:
        raise UserError(
            f"--features: {features}: found no folder named after a corpus, expected "
            f"some of {', '.join(CORPORA)}"
        )
    for name in names:
        if synthetic.is_synthetic(features / name):
            raise UserError(
                f"--features: {features / name}: found synthetic frames; the corpus "
                "mtvr_loo_synthetic makes its own, and is named after them"
            )
    return names


def _given(name: str, features: Path | None) -> Path | None:
    folder = None if features is None else features / name
    return folder if folder is not None and folder.is_dir() else None


def visual_of(name: str, corpus: Corpus, signal_to_noise: float) -> str:
    """What the frames of a built corpus are, for the head of every table."""
    if CORPORA[name].is_synthetic:
        return f"synthetic, signal-to-noise {signal_to_noise}, seed {SYNTHETIC_SEED}"
    if name == "microtv":
        return CORPORA[name].visual
    if isinstance(corpus.features, StoredFeatures):
        return f"given, {corpus.feature_width} wide"
    return CORPORA[name].visual


def _synthetic(name: str, raw: Path, out: Path, signal_to_noise: float) -> Path:
    folder = out / "features" / name
    options = synthetic.Options(
        signal_to_noise, SYNTHETIC_SEED, interval=CORPORA[name].interval
    )
    synthetic.make_features(raw, folder, options)
    return folder


def retrieval(name: str, source: Source) -> Callable[..., MomentRetrieval]:
    """The task on this corpus, for an objective, a span loss and languages."""
    return functools.partial(MomentRetrieval, source=source, **CORPORA[name].retrieval)
