"""Finding a video, and the moment in it, from a query: VSM and corpus retrieval alike.

A training query is either a subtitle held out of its video (paper section 3.3, C.5: its
text is hidden, its frames stay) or an annotated query. The language of the subtitles
and of every query are drawn independently, which is what makes the task cross-lingual.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.readers.annotations import read_indices
from data_pipelines.readers.errors import wrong
from hero_jax.losses import Objective
from hero_jax.losses.frame_jsd import FrameJSD
from hero_jax.losses.ranking import VSM
from hero_jax.losses.similarities import similarities
from hero_jax.losses.span import SpanLoss
from hero_jax.model.hero import HeroConfig
from hero_jax.retrieval.spans import SpanRules
from hero_jax.tasks import code_switch, packing, shares
from hero_jax.tasks.base import Task
from hero_jax.tasks.collate import collate_texts, collate_videos, rows_needed, text_id
from hero_jax.tasks.encoder import Encoder
from hero_jax.tasks.language_matrix import LanguageMatrix
from hero_jax.tasks.moment_head import (
    MomentBatch,
    MomentHead,
    MomentPredictions,
    vectors_of,
)
from hero_jax.tasks.packing import Segment
from hero_jax.tasks.searcher import MomentSearcher
from hero_jax.tasks.source import (
    NO_SPAN,
    QueryText,
    Source,
    VideoExample,
    video_segments,
)
from hero_jax.types import Array, Bool, Int, Metrics, PyTree, Scalar

NO_TEXT = np.zeros(0, np.int32)


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedQuery:
    tokens: np.ndarray
    span: tuple[int, int]
    line: int | None = None
    """Number of the subtitle that it is, where it is one."""
    annotated: QueryText | None = None
    """The annotated query that it is, where it is one."""
    said: np.ndarray | None = None
    """Its text before words were switched, where any could be."""

    @property
    def text_id(self) -> int:
        """Equal for queries that say the same, whatever words are switched."""
        return text_id(self.tokens if self.said is None else self.said)


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedMoment:
    example: VideoExample
    segments: tuple[Segment, ...]
    queries: tuple[PreparedQuery, ...]
    language: str
    """Of the subtitles."""
    hidden: Set[int]
    """Numbers of the subtitles that are held out."""
    is_silent: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class MomentRetrieval(Task):
    """Global alignment by `objective`, local alignment by `span`."""

    source: Source
    objective: Objective = VSM()
    """Ranks the true video above the others of the global batch."""
    span: SpanLoss | None = SpanLoss()
    """Points at the moment; None trains without local alignment."""
    frames: FrameJSD | None = None
    """Tells the frames of the moment from the others of its video."""
    num_subtitle_queries: int = 5
    """Subtitles held out of each video as queries."""
    num_annotated_queries: int = 0
    """Annotated queries drawn for each video."""
    is_by_query: bool = False
    """An example is one annotated query and its video (D.1), not a video."""
    longest_query: int = 60
    """Examples with more tokens are left out where they are queries (B.9)."""
    context: int = 0
    """Earlier subtitles read with each one (official sub_ctx_len)."""
    span_rate: float = 0.2
    """Share of batches on which the span loss is used (1 - drop_svmr_prob)."""
    no_subtitles_rate: float = 0.0
    """Share of videos read without any subtitle, for queries about vision alone."""
    is_same_language: bool = False
    """Draw the queries in the language of the subtitles: monolingual training."""
    languages: tuple[str, ...] = ()
    """Languages that are drawn; empty means all. Every one is evaluated."""
    switch_rate: float = 0.0
    """Share of the words of subtitles and queries that change language, where the
    dictionary of the parallel texts knows them."""
    rules: SpanRules = SpanRules()
    """How moments are chosen when the corpus is searched."""
    video_indices: Path | None = None
    """The release's <dataset>_video2dur_idx.json, by whose numbers prediction files
    know videos; None takes those of the dataset, or counts its videos."""
    is_official: bool = False
    """Queries of the same video or text may be negatives, as officially (H-7)."""

    def __post_init__(self) -> None:
        drawn = (self.num_subtitle_queries, self.num_annotated_queries)
        if self.is_by_query and drawn != (0, 1):
            raise ValueError(
                f"MomentRetrieval: is_by_query with {drawn[0]} subtitle and {drawn[1]} "
                "annotated queries: an example has 0 and 1"
            )
        if self.context and self.num_subtitle_queries:
            raise ValueError(
                f"MomentRetrieval: context {self.context} would show the subtitles "
                "that are held out as queries: set one of the two to 0"
            )

    def examples(self, split: str) -> Sequence[VideoExample]:
        """The videos with their queries; or as often as one is asked for, with one."""
        if self.is_by_query:
            return _by_query(self.source, split, self.longest_query)
        return self.source.open(split)

    def expected_cost(self, example: VideoExample) -> float:
        line = lambda s: len(s.frames) + (1 + self.context) * len(s.tokens) + 1
        lines = [example.lines[code] for code in _spoken(example, self._drawn(example))]
        return float(np.mean([sum(map(line, ones)) for ones in lines]))

    def _drawn(self, example: VideoExample) -> list[str]:
        """The languages that subtitles and queries may be read in."""
        if unknown := set(self.languages) - set(example.lines):
            raise ValueError(
                f"MomentRetrieval: languages: found {', '.join(sorted(unknown))}, "
                f"expected some of {', '.join(example.lines)}"
            )
        return [c for c in example.lines if not self.languages or c in self.languages]

    def prepare(
        self, example: VideoExample, rng: np.random.Generator, share: float
    ) -> PreparedMoment:
        is_silent, share = shares.happens(share, self.no_subtitles_rate)
        spoken = asked = self._drawn(example)
        if self.is_by_query:
            asked = [code for code in spoken if code in example.queries[0].tokens]
        if self.is_same_language:
            spoken = asked
        language = shares.one_of(_spoken(example, spoken), share)
        query_language = lambda: (
            language if self.is_same_language else asked[rng.integers(len(asked))]
        )
        hidden, queries = self._held_out(example, language, query_language, rng)
        queries += self._annotated(example, query_language, rng)
        lines = () if is_silent else self._shown(example.lines[language], language, rng)
        lines = packing.with_context(lines, self.context)
        segments = video_segments(self.source, lines, hidden)
        return PreparedMoment(
            example, segments, tuple(queries), language, hidden, is_silent
        )

    def cost(self, prepared: PreparedMoment) -> int:
        return sum(map(len, prepared.segments))

    def collate(
        self,
        groups: Sequence[Sequence[PreparedMoment]],
        capacity: Mapping[str, int],
        *,
        split: str,
        local: slice,
        rng: np.random.Generator,
    ) -> tuple[MomentBatch, dict[str, int]]:
        examples = self.source.open(split)
        videos, plans = collate_videos(
            examples,
            [[(p.example, p.segments) for p in group] for group in groups],
            capacity,
            local=local,
        )
        queries = [self._padded(p) for group in groups for p in group]
        per_group = len(queries) // len(groups)
        texts, query_rows = collate_texts(
            examples,
            [
                [q.tokens for video in queries[g : g + per_group] for q in video]
                for g in range(0, len(queries), per_group)
            ],
            capacity,
        )
        flat = [q for video in queries for q in video]
        used = np.full(len(flat), rng.random() < self.span_rate)
        batch = MomentBatch(
            videos,
            texts,
            np.array([p.example.index for group in groups for p in group], np.int32),
            np.repeat(np.arange(len(queries)), self.num_queries).astype(np.int32),
            np.array([q.text_id for q in flat], np.int32),
            np.array([q.span for q in flat], np.int32),
            used,
            rng.random(len(queries)).astype(np.float32),
        )
        return batch, {"rows": rows_needed(plans), "query_rows": query_rows}

    def fill(self, batch: MomentBatch) -> float:
        return packing.fill(np.asarray(batch.videos.segment))

    def head(self) -> nn.Module:
        return MomentHead(self.objective, self.frames is not None)

    def loss(
        self,
        predictions: MomentPredictions,
        batch: MomentBatch,
        *,
        step: Int[Array, ""],
        key: Any,
    ) -> tuple[Scalar, Metrics]:
        positives, allowed = self._pairs(batch)
        total, terms = self.objective(
            predictions.scores,
            positives,
            allowed,
            step=step,
            key=key,
            vectors=vectors_of(predictions),
        )
        terms |= similarities(predictions.scores, positives, allowed)
        for local, local_terms in self._local(predictions, batch):
            total, terms = total + local, terms | local_terms
        return total, terms

    def _local(
        self, predictions: MomentPredictions, batch: MomentBatch
    ) -> Iterator[tuple[Scalar, Metrics]]:
        """Local alignment, in the query's own video."""
        known = batch.span, batch.queries.mask, jnp.asarray(batch.span_is_used)[0]
        if self.span is not None:
            yield self.span(predictions.start, predictions.end, *known)
        if self.frames is not None and predictions.frame_scores is not None:
            mask = jnp.asarray(batch.videos.frame_mask)[batch.video_of]
            yield self.frames(predictions.frame_scores, mask, *known)

    def evaluate(
        self,
        model: HeroConfig,
        params: PyTree,
        split: str,
        *,
        predictions_dir: Path | None = None,
    ) -> Mapping[str, Any]:
        """results[query language][subtitle language], "none" last (G.1)."""
        matrix = self.language_matrix(model, params, split)
        if predictions_dir is not None:
            numbers = self.video_numbers(split)
            matrix = dataclasses.replace(matrix, video_numbers=numbers)
        return matrix.results(predictions_dir)

    def video_numbers(self, split: str) -> Mapping[str, int]:
        """What prediction files call the videos of a split; {} where nobody says so."""
        corpus = self.source.open(split).corpus
        if self.video_indices is None:
            return corpus.video_numbers
        numbers = read_indices(self.video_indices, split)
        if missing := [v.video_id for v in corpus.videos if v.video_id not in numbers]:
            problem = f"has no {missing[0]}, one of the {len(corpus.videos)} videos of "
            remedy = "name the table of this release"
            raise wrong(self.video_indices, split, f"{problem}the corpus", remedy)
        return numbers

    def portable(self) -> "MomentRetrieval":
        return dataclasses.replace(self, video_indices=None)

    def language_matrix(
        self, model: HeroConfig, params: PyTree, split: str
    ) -> LanguageMatrix:
        """The model on a split, not searched yet."""
        return LanguageMatrix(
            Encoder(model, params["hero"], self.source, context=self.context),
            self.source.open(split),
            has_spans=self.span is not None,
            rules=self.rules,
        )

    def searcher(
        self, model: HeroConfig, params: PyTree, *, corpora: Path | None = None
    ) -> MomentSearcher:
        encoder = Encoder(model, params["hero"], self.source, context=self.context)
        rules = dataclasses.replace(self.rules, nms_threshold=0.5)
        has_spans = self.span is not None
        return MomentSearcher(encoder, self.source, has_spans, rules, corpora)

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        names = (
            "num_subtitle_queries",
            "num_annotated_queries",
            "span_rate",
            "no_subtitles_rate",
            "is_same_language",
        )
        own = {name: getattr(self, name) for name in names}
        if self.is_by_query:
            own |= {"is_by_query": True, "longest_query": self.longest_query}
        if self.context:  # left out where it is not, so that older runs go on
            own |= {"context": self.context}
        if self.languages:
            own |= {"drawn": "+".join(self.languages)}
        if self.switch_rate:
            own |= {"switch_rate": self.switch_rate}
        return self.source.fingerprint(split) | own

    @property
    def num_queries(self) -> int:
        """Query slots a video has."""
        return self.num_subtitle_queries + self.num_annotated_queries

    def _pairs(
        self, batch: MomentBatch
    ) -> tuple[Bool[Array, "Q B"], Bool[Array, "Q B"]]:
        """Which pairs are true, and which may serve as negatives."""
        num_videos = batch.videos.frame_mask.shape[0]
        mask = batch.queries.mask
        positives = jax.nn.one_hot(batch.video_of, num_videos, dtype=bool)
        positives &= mask[:, None]
        if self.is_official:
            return positives, ~positives & mask[:, None]
        same_text = batch.text_id[:, None] == batch.text_id[None, :]
        claimed = jnp.einsum(
            "qp,pb->qb", same_text.astype(jnp.int32), positives.astype(jnp.int32)
        )
        if self.is_by_query:
            same_video = batch.video[:, None] == batch.video[None, :]
            claimed = claimed @ same_video.astype(jnp.int32)
        has_frames = jnp.any(batch.videos.frame_mask, axis=1)
        return positives, (claimed == 0) & mask[:, None] & has_frames[None, :]

    def _held_out(self, example, language, query_language, rng):
        """Subtitles drawn as queries, and the numbers of the lines to hide for them."""
        lines, hidden, queries = example.lines[language], set(), []
        candidates = [i for i, s in enumerate(lines) if len(s.frames) and len(s.tokens)]
        for number in self._chosen_lines(candidates, rng):
            asked = query_language()
            twin = twin_of(example, number, language, asked)
            hidden.add(number)
            if twin is not None:
                said = example.lines[asked][twin].tokens
                shown = self._switched(said, asked, rng)
                text, said = map(self.source.as_query, (shown, said))
                span = _span_of_frames(lines[number].frames, example.num_frames)
                queries.append(PreparedQuery(text, span, line=number, said=said))
        return hidden, queries

    def _shown(
        self, lines: Sequence[Segment], language: str, rng: np.random.Generator
    ) -> Sequence[Segment]:
        if not self.switch_rate:
            return lines
        switched = lambda line: self._switched(line.tokens, language, rng)
        return [dataclasses.replace(line, tokens=switched(line)) for line in lines]

    def _switched(
        self, tokens: np.ndarray, language: str, rng: np.random.Generator
    ) -> np.ndarray:
        rate = self.switch_rate
        if not rate:
            return tokens
        return code_switch.switched(self.source, tokens, language, rate, rng)

    def _chosen_lines(
        self, candidates: list[int], rng: np.random.Generator
    ) -> list[int]:
        """Which of the lines become queries, in their own order."""
        count = min(self.num_subtitle_queries, len(candidates))
        drawn = rng.choice(len(candidates), count, replace=False)
        return [candidates[i] for i in sorted(drawn.tolist())]

    def _annotated(self, example, query_language, rng) -> list[PreparedQuery]:
        count = min(self.num_annotated_queries, len(example.queries))
        chosen = rng.choice(len(example.queries), count, replace=False)
        queries = []
        for query in (example.queries[i] for i in sorted(chosen.tolist())):
            said = query.tokens.get(asked := query_language())
            if said is not None:
                text = self._switched(said, asked, rng)
                known = PreparedQuery(text, query.span, annotated=query, said=said)
                queries.append(known)
        return queries

    def _padded(self, prepared: PreparedMoment) -> tuple[PreparedQuery, ...]:
        missing = self.num_queries - len(prepared.queries)
        return prepared.queries + (PreparedQuery(NO_TEXT, NO_SPAN),) * missing


@functools.lru_cache(maxsize=8)
def _by_query(source: Source, split: str, longest: int) -> tuple[VideoExample, ...]:
    """Every annotated query that is short enough, with its video (D.1)."""
    found = tuple(
        dataclasses.replace(example, queries=(query,))
        for example in source.open(split)
        for query in example.queries
        if query.tokens and all(len(t) <= longest + 1 for t in query.tokens.values())
    )
    if not found:
        problem = f"split {split!r} has no queries about known videos"
        raise wrong(source.dataset, "", problem, "name a split that has some")
    return found


def _spoken(example: VideoExample, languages: list[str]) -> list[str]:
    """Those of the languages in which the video has subtitles; all where none has."""
    return [code for code in languages if example.lines[code]] or languages


def twin_of(
    example: VideoExample, number: int, language: str, asked: str
) -> int | None:
    """Which line of the asked language says the same: that of the same number, if the
    two languages have equal times, else the one that covers most of it."""
    subtitles = example.video.subtitles
    here, there = subtitles[language], subtitles[asked]
    if len(here) == len(there) and here[number].start == there[number].start:
        return number
    line = here[number]
    overlaps = [
        min(line.end, other.end) - max(line.start, other.start) for other in there
    ]
    if not overlaps or max(overlaps) <= 0.5 * (line.end - line.start):
        return None
    return int(np.argmax(overlaps))


def _span_of_frames(frames: np.ndarray, num_frames: int) -> tuple[int, int]:
    """First matched frame; last one, or the next where that is the first (C.5)."""
    first, last = int(frames[0]), int(frames[-1])
    return first, min(max(first + 1, last), num_frames - 1)
