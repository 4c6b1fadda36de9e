"""What needs no model: BM25 on the gallery and the queries of the study's arms.

    words       the query's own words; across languages only what both write alike
    dictionary  each word as the dictionary of the training texts translates it
    copied      the translation of the training text that is nearest to the query
    machine     the machine translation that a release brings, of the queries that have
                one

All rank the test split by the words of its subtitles. A ranking across languages that
is no better than `words` has learnt nothing but names and numbers; one that is no
better than `copied` has memorised its training texts. Moments are found by copying the
span of the subtitle that is most like the query (`copied_spans.py`).
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipelines import dictionary
from data_pipelines.bm25 import BM25, ranks_of, tokens_of
from data_pipelines.schema import Corpus, Query, Video
from experiments.crosslingual import copied_spans, records
from experiments.crosslingual.copied_spans import Spans, linked, places
from experiments.crosslingual.records import Record
from experiments.crosslingual.shapes import (
    RANK,
    TEXT,
    WHOLE,
    Each,
    Rule,
    is_number,
    is_whole,
    mismatches,
)
from hero_jax.errors import UserError
from hero_jax.metrics.recall import THRESHOLDS

Tokens = Sequence[str]
Translate = Callable[[Query], Tokens | None]
"""A query as the words to look for; None where it cannot be said."""
Ranks = Mapping[str, Mapping[str, list[int | None]]]
"""[query language][subtitle language]: each query's rank of its own video, None for one
that cannot be said."""
Translators = Mapping[tuple[str, str], Mapping[str, Translate]]
"""(query language, subtitle language) -> control -> what it looks for."""

MACHINE = "-x-"
"""Marks the code of a machine translation into the language before it."""
FIELDS = ("corpus", "num_videos", "videos", "overlaps", "spans", "ranks")


def write(
    path: Path, corpus: str, train: Corpus, test: Corpus, *, max_frames: int = 100
) -> None:
    """All controls of a corpus in one file; the same bytes for the same corpus."""
    test = readable(test, max_frames)
    said = translators(train, test)
    record = {
        "corpus": corpus,
        "num_videos": len(test.videos),
        "videos": places(test),
        "overlaps": [round(iou, 4) for iou in copied_spans.overlaps(test)],
        "spans": spans(test, said),
        "ranks": ranks(test, said),
    }
    records.write(path, record)


def readable(corpus: Corpus, max_frames: int) -> Corpus:
    """What a model reads that cuts videos to so many frames: no line lies beyond."""

    def cut(video: Video) -> Video:
        end = min(video.num_frames, max_frames) * video.interval
        kept = {
            code: tuple(line for line in lines if line.start < end)
            for code, lines in video.subtitles.items()
        }
        return dataclasses.replace(video, subtitles=kept)

    return dataclasses.replace(corpus, videos=tuple(map(cut, corpus.videos)))


def read_all(folder: Path) -> list[Record]:
    """Those of every corpus, by name. Raises UserError for one that cannot be right."""
    return list(map(_checked, sorted(folder.glob(f"*{records.SUFFIX}"))))


def _checked(path: Path) -> Record:
    record = records.read(path, FIELDS)
    for problem in problems(record, path.name.removesuffix(records.SUFFIX)):
        raise UserError(f"{path}: {problem}; {AGAIN}")
    return record


AGAIN = "remove the file and run the study again"
OF_RULE = {"SVMR": {str(threshold): [RANK] for threshold in THRESHOLDS}}
SHAPE = {
    "corpus": TEXT,
    "num_videos": Rule(lambda n: is_whole(n, 1), "a number of videos"),
    "videos": [WHOLE],
    "overlaps": [Rule(lambda x: is_number(x) and 0 <= x <= 1, "an IoU of 0 to 1")],
    "spans": Each(Each(OF_RULE), may_be_empty=True),
    "ranks": {"words": Each(Each([RANK]))},
}
"""What a file of controls holds."""


def problems(control: Record, name: str) -> Iterator[str]:
    """What is impossible in controls of this name."""
    wrong = [*mismatches(control, SHAPE)]
    wrong += mismatches(control.get("ranks"), Each(Each(Each([RANK]))), "ranks")
    if wrong:
        yield wrong[0]
        return
    if control["corpus"] != name:
        yield f"corpus: found {control['corpus']}, expected that of the file's name"
    size, count = control["num_videos"], len(control["videos"])
    if len(control["overlaps"]) != count:
        yield f"overlaps: found {len(control['overlaps'])}, expected {count}"
    if max(control["videos"], default=0) >= size:
        yield f"videos: found number {max(control['videos'])} among {size}"
    for field in ("ranks", "spans"):
        for place, ranks in records.lists(control[field]):
            if len(ranks) != count:
                yield f"{field}.{place}: found {len(ranks)}, expected {count}"
            if field == "ranks" and max((r for r in ranks if r), default=0) > size:
                yield f"{field}.{place}: found a rank beyond {size} videos"


def check(control: Record, found: Iterable[Record]) -> None:
    """Raises UserError unless cells and control rank the same gallery for the same
    queries."""
    for record in found:
        cell = records.cell_of(record)
        if cell.corpus != control["corpus"] or cell.split != "test":
            continue
        if record["videos"] != control["videos"]:
            raise UserError(
                f"controls/{cell.corpus}{records.SUFFIX}: found other queries than in "
                f"{cell.name}; {AGAIN}"
            )
        if (last := records.last_video(record)) > control["num_videos"]:
            raise UserError(
                f"cells/{cell.name}{records.SUFFIX}: found rank {last} among "
                f"{control['num_videos']} videos; {AGAIN}"
            )


def translators(train: Corpus, test: Corpus) -> Translators:
    """Of every pair of languages; one in which no video has subtitles is not read."""
    is_spoken = lambda code: any(video.subtitles[code] for video in test.videos)
    return {
        (asked, read): _translators(train, asked, read)
        for asked in test.languages
        for read in filter(is_spoken, test.languages)
    }


def ranks(test: Corpus, said: Translators) -> Mapping[str, Ranks]:
    """Control -> its ranks; a pair of languages it does not know is left out."""
    found: dict[str, dict[str, dict[str, list[int | None]]]] = {}
    indices = {read: documents(test, read) for _, read in said}
    for (asked, read), controls in said.items():
        for name, translate in controls.items():
            of_pair = _ranks(test, indices[read], translate)
            if of_pair is not None:
                found.setdefault(name, {}).setdefault(asked, {})[read] = of_pair
    return found


def spans(
    test: Corpus, said: Translators
) -> Mapping[str, Mapping[str, Mapping[str, Spans]]]:
    """[query language][subtitle language]: ranks of copied spans, as cells write them.

    Across languages by the dictionary, the best that a query's words alone become.
    """
    found: dict[str, dict[str, dict[str, Spans]]] = {}
    for (asked, read), controls in said.items():
        words = controls["words" if asked == read else "dictionary"]
        copied = copied_spans.copied(test, read, words)
        if copied is not None:
            found.setdefault(asked, {})[read] = {"SVMR": copied}
    return found


def documents(corpus: Corpus, read: str) -> BM25:
    """The subtitles of each video as one document."""
    return BM25(
        [
            [word for line in video.subtitles[read] for word in tokens_of(line.text)]
            for video in corpus.videos
        ]
    )


def _translators(train: Corpus, asked: str, read: str) -> dict[str, Translate]:
    words: dict[str, Translate] = {"words": lambda q: tokens_of(q.texts[asked])}
    if asked == read:
        return words
    pairs = [
        (tokens_of(q.texts[asked]), tokens_of(q.texts[read]))
        for q in train.queries
        if asked in q.texts and read in q.texts
    ]
    return words | {
        "dictionary": _by_dictionary(pairs, asked),
        "copied": _by_neighbour(pairs, asked),
        "machine": lambda query: _by_machine(query, read),
    }


def _by_dictionary(pairs: Sequence[tuple[Tokens, Tokens]], asked: str) -> Translate:
    """Word by word; a word without an entry stays as it is."""
    entries = dictionary.learn_words(pairs)
    return lambda query: [entries.get(w, w) for w in tokens_of(query.texts[asked])]


def _by_neighbour(pairs: Sequence[tuple[Tokens, Tokens]], asked: str) -> Translate:
    index = BM25([words for words, _ in pairs])

    def translate(query: Query) -> Tokens | None:
        scores = index.scores(tokens_of(query.texts[asked]))
        if not len(scores):
            return None
        near = int(np.argmax(scores))
        return pairs[near][1] if scores[near] > 0 else ()

    return translate


def _by_machine(query: Query, read: str) -> Tokens | None:
    """mTVR brings its English queries in Chinese by a machine."""
    code = next((c for c in query.texts if c.startswith(read + MACHINE)), None)
    return None if code is None else tokens_of(query.texts[code])


def _ranks(test: Corpus, index: BM25, translate: Translate) -> list[int | None] | None:
    """None for a query that cannot be said, and where none can."""
    said = [translate(query) for query in linked(test)]
    known = [i for i, words in enumerate(said) if words is not None]
    own = places(test)
    found = ranks_of(
        index,
        [words for words in said if words is not None],
        [own[i] for i in known],
    )
    by_query = dict(zip(known, found))
    return [by_query.get(i) for i in range(len(said))] if known else None
