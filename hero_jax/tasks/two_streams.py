"""Two models as one: what reads frames and what reads subtitles, by their scores (F.8).

    videos        mean cosine; where there are moments mean exp(alpha cosine)
    moments       mean probability of every first and last frame
    answers       mean softmax
    statements    mean sigmoid
    captions      mean logits of the next word, word by word

Nothing of this has been recorded: it is built from its description.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.files import write_whole
from hero_jax.metrics import summary
from hero_jax.model.hero import HeroConfig
from hero_jax.retrieval import answers
from hero_jax.retrieval.index import CorpusIndex, build_index
from hero_jax.retrieval.search import Found, all_scores
from hero_jax.retrieval.spans import exponential_weights
from hero_jax.tasks.caption_evaluation import CaptionMatrix, caption_lines
from hero_jax.tasks.captioner import Captioner, write_together
from hero_jax.tasks.captioning import Captioning
from hero_jax.tasks.encoder import NO_SUBTITLES, Encoder, own_reading
from hero_jax.tasks.entailment import Entailment
from hero_jax.tasks.judging import JudgingTask
from hero_jax.tasks.language_matrix import Answered, Asked, LanguageMatrix
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.types import Array, Bool, Float, PyTree

Results = dict[str, dict[str, Any]]
"""text language -> what the videos were read with -> numbers."""


class StreamsError(ValueError):
    """Two models that cannot be combined; one line says why."""

    exit_code = 2


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """A trained model and the task it was trained for."""

    task: Any
    model: HeroConfig
    params: PyTree
    """Of the whole task model."""

    def reading(self, language: str, split: str) -> str:
        """What videos are read with for a text in a language."""
        return own_reading(self.task.source.open(split), language)


def evaluate(
    streams: Sequence[Stream], split: str, *, predictions_dir: Path | None = None
) -> Results:
    """results[text language][subtitle language] of the streams together."""
    kinds = {type(stream.task) for stream in streams}
    if len(kinds) > 1:
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise StreamsError(f"tasks: found {names}, expected two of a kind")
    task = streams[0].task
    for kind, combined in (
        (MomentRetrieval, _retrieved),
        (JudgingTask, _judged),
        (Captioning, _described),
    ):
        if isinstance(task, kind):
            return combined(streams, split, predictions_dir)
    raise StreamsError(f"tasks: a {type(task).__name__} has no scores to combine")


def _languages(streams: Sequence[Stream], split: str) -> list[tuple[str, str]]:
    """Every language, and the reading that its results stand under."""
    known = [stream.task.source.open(split).languages for stream in streams]
    shared = [code for code in known[0] if all(code in codes for codes in known)]
    spoken = lambda code: any(s.reading(code, split) == code for s in streams)
    return [(code, code if spoken(code) else NO_SUBTITLES) for code in shared]


def _same(found: Sequence[Sequence[Any]], what: str) -> None:
    """Refuses streams that were not asked the same."""
    if any(list(one) != list(found[0]) for one in found):
        counts = " and ".join(str(len(one)) for one in found)
        raise StreamsError(
            f"{what} differ between the streams ({counts}); combine runs that were "
            f"trained on one dataset"
        )


# --- questions and statements -------------------------------------------------------


def mean_choice(logits: Sequence[Float[Array, "N1 N2"]]) -> Float[np.ndarray, "N1 N2"]:
    """Logarithms of the mean probabilities of the candidates."""
    wide = [np.asarray(one, np.float64) for one in logits]
    sums = [np.logaddexp.reduce(one, axis=1, keepdims=True) for one in wide]
    logs = np.stack([one - total for one, total in zip(wide, sums)])
    return np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))


def mean_verdict(logits: Sequence[Float[Array, "*N"]]) -> Float[np.ndarray, "*N"]:
    """The logits whose sigmoids are the means of those given."""
    wide = np.stack([np.asarray(one, np.float64) for one in logits])
    log_true = np.logaddexp.reduce(-np.logaddexp(0, -wide), axis=0)
    log_false = np.logaddexp.reduce(-np.logaddexp(0, wide), axis=0)
    return log_true - log_false


def _judged(streams: Sequence[Stream], split: str, folder: Path | None) -> Results:
    task, results = streams[0].task, {}
    mean = mean_verdict if isinstance(task, Entailment) else mean_choice
    for language, shown in _languages(streams, split):
        found = [_logits(stream, split, language) for stream in streams]
        if any(cell is None for cell, _ in found):
            continue
        _same([[one.name for one in cell.asked] for cell, _ in found], "questions")
        logits = mean([logits for _, logits in found])
        cell = dataclasses.replace(found[0][0], subtitles=shown)
        truth = np.array([one.truth for one in cell.asked])
        results[language] = {shown: task.metrics(logits, truth)}
        if folder is not None:
            task.write(folder, cell, logits)
    return results


def _logits(stream: Stream, split: str, language: str) -> tuple[Any, Any]:
    """The cell of a language in the reading of a stream, and its logits."""
    task, examples = stream.task, stream.task.source.open(split)
    place = (language, stream.reading(language, split))
    cells = task.cells(examples, task.asked(split, is_training=False))
    for cell in cells:
        if (cell.language, cell.subtitles) == place:
            hero, sizes = stream.params["hero"], task.sizes(examples, [cell])
            return cell, task.logits(stream.model, hero, examples, cell, sizes)
    return None, None


# --- videos and moments -------------------------------------------------------------


def _retrieved(streams: Sequence[Stream], split: str, folder: Path | None) -> Results:
    results = {}
    matrices = [_matrix(stream, split) for stream in streams]
    first = matrices[0]
    if folder is not None:
        numbers = streams[0].task.video_numbers(split)
        first = dataclasses.replace(first, video_numbers=numbers)
    for language, shown in _languages(streams, split):
        asked = [matrix.ask(language) for matrix in matrices]
        _same([[q.query_id for q in one.queries] for one in asked], "queries")
        indices = [
            m.index(s.reading(language, split)) for m, s in zip(matrices, streams)
        ]
        _same([index.video_ids for index in indices], "videos")
        answered, ranks = together(matrices, asked, indices)
        known = first.known_by(asked[0], answered, ranks)
        spans = first.candidate_spans(indices[0])
        results[language] = {shown: summary.summary(known, spans)}
        if folder is not None:
            first.write(folder / f"{language}-{shown}.json", asked[0], answered)
    return results


def _matrix(stream: Stream, split: str) -> LanguageMatrix:
    return stream.task.language_matrix(stream.model, stream.params, split)


def together(
    matrices: Sequence[LanguageMatrix],
    asked: Sequence[Asked],
    indices: Sequence[CorpusIndex],
) -> tuple[Answered, np.ndarray]:
    """What the streams answer together, and the ranks of the true videos."""
    rules, has_spans = matrices[0].rules, matrices[0].has_spans
    cosines = [
        np.asarray(all_scores(one.vectors, index)) for one, index in zip(asked, indices)
    ]
    if has_spans:
        scores = np.mean([exponential_weights(c, rules.alpha) for c in cosines], 0)
    else:
        scores = np.mean(cosines, axis=0)
    linked = slice(asked[0].num_linked)
    ranks = ranks_of(scores[linked], asked[0].videos)
    videos = np.argsort(-scores, axis=1, kind="stable")[:, : rules.max_videos]
    found = Found(np.take_along_axis(scores, videos, 1), videos)
    if not has_spans:
        return Answered(found, None, None), ranks
    queries = np.concatenate([one.vectors for one in asked], axis=1)
    index, probabilities = side_by_side(indices), boundaries(matrices)
    vcmr = answers.moments_among(
        queries, index, videos, found.scores, probabilities, rules
    )
    svmr = answers.video_moments(
        queries[linked], index, asked[0].videos, probabilities, rules
    )
    return Answered(found, vcmr, svmr), ranks


def ranks_of(scores: Float[np.ndarray, "Q N"], videos: np.ndarray) -> np.ndarray:
    """Of the true videos, 1 the best; one of equal score counts as better."""
    own = np.take_along_axis(scores, np.asarray(videos)[:, None], axis=1)
    return np.sum(~(scores < own), axis=1)


def side_by_side(indices: Sequence[CorpusIndex]) -> CorpusIndex:
    """One corpus whose frames have the vectors of all streams, one behind another."""
    first = indices[0]
    _same([index.num_frames.tolist() for index in indices], "lengths of videos")
    frames = np.concatenate([np.asarray(index.frames) for index in indices], axis=2)
    return build_index(
        first.video_ids,
        [vectors[:count] for vectors, count in zip(frames, first.num_frames)],
        first.intervals.tolist(),
        fingerprint="streams",
    )


def boundaries(matrices: Sequence[LanguageMatrix]) -> answers.BoundaryProbs:
    """Mean probabilities, from vectors that stand one behind another."""
    widths = [matrix.encoder.config.width for matrix in matrices]
    ends = np.cumsum(widths)[:-1].tolist()

    def probabilities(
        queries: Float[Array, "Q _"],
        frames: Float[Array, "Q F _"],
        frame_mask: Bool[Array, "Q F"],
    ) -> tuple[Array, Array]:
        parts = zip(
            matrices, np.split(queries, ends, axis=-1), np.split(frames, ends, axis=-1)
        )
        found = [
            matrix.encoder.boundary_probabilities(query, frame, frame_mask)
            for matrix, query, frame in parts
        ]
        start, end = (np.mean([one[i] for one in found], axis=0) for i in (0, 1))
        return start, end

    return probabilities


# --- captions -----------------------------------------------------------------------


def _described(streams: Sequence[Stream], split: str, folder: Path | None) -> Results:
    results: Results = {}
    matrices = [_caption_matrix(stream, split) for stream in streams]
    first, captioners = matrices[0], [matrix.captioner for matrix in matrices]
    moments = first.examples.corpus.captions
    _same([[m.moment_id for m in one.examples.corpus.captions] for one in matrices],
          "moments")  # fmt: skip
    for language, shown in _languages(streams, split) if moments else ():
        number = list(first.examples.languages).index(language)
        pairs = zip(matrices, streams)
        read = [matrix.frames(s.reading(language, split)) for matrix, s in pairs]
        written = write_together(captioners, read, number)
        if folder is not None:
            path = folder / f"captions-{language}-{shown}.jsonl"
            write_whole(path, caption_lines(moments, written))
        if known := first.described(language):
            results[language] = {shown: first.cell(language, known, written)}
    return results


def _caption_matrix(stream: Stream, split: str) -> CaptionMatrix:
    task: Captioning = stream.task
    encoder = Encoder(
        stream.model, stream.params["hero"], task.source, context=task.context
    )
    return CaptionMatrix(
        Captioner(encoder, task.writing),
        task.source.open(split),
        is_segmented=task.is_segmented,
    )
