"""Datasets in five folds: each video is tested in one of them, whatever is told of it.

Videos are dealt into five folds in the order of the sha256 of their ids. Fold k is
tested, fold k + 1 validates, the rest trains. The split `all` holds every video as the
test split would.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from data_pipelines.builders.frames import Frames, raw_split
from data_pipelines.builders.raw import RawCorpus, RawSplit, Request
from data_pipelines.readers.errors import Tally, wrong
from data_pipelines.schema import Query, Subtitle

NUM_FOLDS = 5
SPLITS = ("train", "val", "test", "all")

Dialogue = Mapping[str, tuple[Subtitle, ...]]
"""Language -> the subtitles of one video."""
Telling = Callable[[str, str], tuple[Dialogue, Sequence[Query]]]
"""What is read of a video in a split, and what is asked about it there."""


@dataclasses.dataclass(frozen=True)
class Release:
    """What is dealt into folds."""

    file: Path
    """Where the queries were read, for messages."""
    languages: tuple[str, ...]
    """Every query is asked in every language, so it needs them all."""
    durations: Mapping[str, float]
    """Seconds of every video, in the order of the release."""
    queries: Sequence[Query]
    parallel: tuple[Mapping[str, str], ...] = ()
    """Translations that belong to no video; they go to `train`."""


def with_dialogue(
    name: str, release: Release, request: Request, dialogues: Mapping[str, Dialogue]
) -> RawCorpus:
    """The dataset `<name>_fold<k>`: every query is asked, of subtitles from elsewhere.

    `dialogues` is by video; one that it does not hold has no subtitles.
    """
    asked = asked_videos(release, request.tally, at_least=1)
    silent: Dialogue = dict.fromkeys(release.languages, ())
    tell: Telling = lambda video_id, _: (
        {**silent, **dialogues.get(video_id, {})},
        asked[video_id],
    )
    return in_folds(name, release, request, deal(asked, request.fold), tell)


def asked_videos(
    release: Release, tally: Tally, *, at_least: int
) -> dict[str, list[Query]]:
    """Video id -> its queries by id, for the videos with so many of them.

    In the order of the release, whatever the order of the queries.
    """
    check_queries(release)
    asked: dict[str, list[Query]] = {video_id: [] for video_id in release.durations}
    for query in sorted(release.queries, key=_by_number):
        if query.video_id is not None:
            asked[query.video_id].append(query)
    for video_id, ones in asked.items():
        if len(ones) < at_least:
            tally.add(f"videos with fewer than {FEW[at_least]}, dropped", video_id)
    return {v: ones for v, ones in asked.items() if len(ones) >= at_least}


FEW = {1: "one query", 2: "two queries"}


def check_queries(release: Release) -> None:
    """Raises InputError where there are no queries, or one lacks a language."""
    if not release.queries:
        raise wrong(release.file, "", "holds no queries", "is --data_dir the release?")
    for query in release.queries:
        if missing := [name for name in release.languages if name not in query.texts]:
            problem = f"desc_id {query.query_id} has no {' and no '.join(missing)}"
            remedy = f"every query needs {' and '.join(release.languages)}"
            raise wrong(release.file, "descs", problem, remedy)


def _by_number(query: Query) -> tuple[int, str]:
    """Orders ids such as 9 and 10 as the numbers that they are."""
    return len(query.query_id), query.query_id


def hash_order(video_ids: Iterable[str]) -> list[str]:
    """The ids in an order that depends on nothing but the ids."""
    return sorted(video_ids, key=lambda name: hashlib.sha256(name.encode()).digest())


@dataclasses.dataclass(frozen=True)
class Deal:
    """Which videos a fold has, and where."""

    rank: Mapping[str, int]
    """Video id -> its place in the order of hashes; in the order of the release."""
    fold: int

    def is_in(self, video_id: str, split: str) -> bool:
        place = (self.rank[video_id] - self.fold) % NUM_FOLDS
        return split in ("all", {0: "test", 1: "val"}.get(place, "train"))


def deal(video_ids: Iterable[str], fold: int) -> Deal:
    """The videos as one fold has them."""
    ids = list(video_ids)
    rank = {video_id: i for i, video_id in enumerate(hash_order(ids))}
    return Deal({video_id: rank[video_id] for video_id in ids}, fold)


def in_folds(
    name: str,
    release: Release,
    request: Request,
    dealt: Deal,
    tell: Telling,
    needed: str = "videos with a query",
) -> RawCorpus:
    """The dataset `<name>_fold<k>`; `needed` says which videos were dealt."""
    frames = Frames.of(request, request.features)
    lines = [frames.timeline(v, release.durations[v]) for v in dealt.rank]
    real = [line for line in lines if line]

    def split(which: str) -> RawSplit:
        chosen = [line for line in real if dealt.is_in(line.video_id, which)]
        told = [tell(line.video_id, which) for line in chosen]
        measured = [(line, dialogue) for line, (dialogue, _) in zip(chosen, told)]
        queries = [query for _, ones in told for query in ones]
        parallel = release.parallel if which == "train" else ()
        return raw_split(measured, queries, parallel)

    splits = {which: split(which) for which in SPLITS}
    found = f"found {len(dealt.rank)} {needed}"
    _check_splits(splits, release.file, request.fold, found)
    return frames.corpus(f"{name}_fold{request.fold}", release.languages, splits)


def _check_splits(
    splits: Mapping[str, RawSplit], file: Path, fold: int, found: str
) -> None:
    for name, split in splits.items():
        if not split.videos:
            problem = f"leaves the split {name} without a video, {found}"
            raise wrong(file, f"fold {fold}", problem, f"{NUM_FOLDS} fill every fold")
