"""Leave-one-out: one text of a video is searched for, the others are its dialogue.

Where subtitles are not public, the timed descriptions of a video stand for them
(crosslingual.md, 4.6):

    query     1 2 3 4 5
    val/test      ?          held out: the Query, in all its languages
    subtitles . .   . .      the others, ordered by time, in every language
    train     . . . . .      all are subtitles and queries; training holds out

Videos are dealt into five folds in the order of the sha256 of their ids. Fold k is
tested, fold k + 1 validates, the rest trains. The split `all` holds every video with
one query held out, so that the five values of k hold out each query once of a video
with five.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data_pipelines.builders.frames import Frames, Timeline, raw_split
from data_pipelines.builders.raw import RawCorpus, RawSplit, Request
from data_pipelines.readers.errors import Tally, wrong
from data_pipelines.schema import Query, Subtitle

NUM_FOLDS = 5
SPLITS = ("train", "val", "test", "all")


@dataclasses.dataclass(frozen=True)
class Release:
    """What is dealt into folds."""

    file: Path
    """Where the queries were read, for messages."""
    languages: tuple[str, ...]
    """Every query stands in for a subtitle in every language, so it needs them all."""
    durations: Mapping[str, float]
    """Seconds of every video, in the order of the release."""
    queries: Sequence[Query]
    parallel: tuple[Mapping[str, str], ...] = ()
    """Translations that belong to no video; they go to `train`."""


def leave_one_out(name: str, release: Release, request: Request) -> RawCorpus:
    """The dataset `<name>_fold<k>`: splits train, val, test and all."""
    if not release.queries:
        raise wrong(release.file, "", "holds no queries", "is --data_dir the release?")
    _check_languages(release)
    frames = Frames.of(request, request.features)
    told = _told_videos(release, request.tally)
    lines = [frames.timeline(video, release.durations[video]) for video in told]
    real = [line for line in lines if line]
    folds = _Folds(real, told, request.fold, release.languages)
    splits = {split: folds.split(split) for split in SPLITS}
    _check_folds(splits, len(told), release.file, request.fold)
    train = dataclasses.replace(splits["train"], parallel=release.parallel)
    whole = f"{name}_fold{request.fold}"
    return frames.corpus(whole, release.languages, splits | {"train": train})


def _check_languages(release: Release) -> None:
    for query in release.queries:
        if missing := [name for name in release.languages if name not in query.texts]:
            problem = f"desc_id {query.query_id} has no {' and no '.join(missing)}"
            remedy = f"every query needs {' and '.join(release.languages)}"
            raise wrong(release.file, "descs", problem, remedy)


def _check_folds(
    splits: Mapping[str, RawSplit], num_told: int, file: Path, fold: int
) -> None:
    for name, split in splits.items():
        if not split.videos:
            problem = f"leaves the split {name} without a video, found {num_told}"
            remedy = f"{NUM_FOLDS} fill every fold"
            queries = "videos with two queries or more"
            raise wrong(file, f"fold {fold}", f"{problem} {queries}", remedy)


def _told_videos(release: Release, tally: Tally) -> dict[str, list[Query]]:
    """Video id -> its queries by id, for the videos with one to hold out and another.

    In the order of the release, whatever the order of the queries.
    """
    told: dict[str, list[Query]] = {video_id: [] for video_id in release.durations}
    for query in sorted(release.queries, key=_by_number):
        if query.video_id is not None:
            told[query.video_id].append(query)
    for video_id, ones in told.items():
        if len(ones) < 2:
            tally.add("videos with fewer than two queries, dropped", video_id)
    return {video_id: ones for video_id, ones in told.items() if len(ones) > 1}


def _by_number(query: Query) -> tuple[int, str]:
    """Orders ids such as 9 and 10 as the numbers that they are."""
    return len(query.query_id), query.query_id


def hash_order(video_ids: Iterable[str]) -> list[str]:
    """The ids in an order that depends on nothing but the ids."""
    return sorted(video_ids, key=lambda name: hashlib.sha256(name.encode()).digest())


@dataclasses.dataclass(frozen=True)
class _Folds:
    """The splits of one fold."""

    timelines: Sequence[Timeline]
    told: Mapping[str, Sequence[Query]]
    fold: int
    languages: Sequence[str]

    @functools.cached_property
    def rank(self) -> dict[str, int]:
        return {video_id: i for i, video_id in enumerate(hash_order(self.told))}

    def split(self, name: str) -> RawSplit:
        lines = [line for line in self.timelines if self._is_in(line.video_id, name)]
        measured, searched = [], list[Query]()
        for line in lines:
            queries = self.told[line.video_id]
            held = queries if name == "train" else [self._held_out(line.video_id)]
            told = [q for q in queries if name == "train" or q not in held]
            measured.append((line, dialogue(told, self.languages)))
            searched += held
        return raw_split(measured, searched)

    def _is_in(self, video_id: str, name: str) -> bool:
        place = (self.rank[video_id] - self.fold) % NUM_FOLDS
        return name in ("all", {0: "test", 1: "val"}.get(place, "train"))

    def _held_out(self, video_id: str) -> Query:
        """Another query in each fold, and another position from video to video."""
        queries = self.told[video_id]
        return queries[(self.rank[video_id] // NUM_FOLDS + self.fold) % len(queries)]


def dialogue(
    queries: Iterable[Query], languages: Sequence[str]
) -> dict[str, tuple[Subtitle, ...]]:
    """The queries as subtitles at their moments, by start; line i is one in all."""
    ordered = sorted(queries, key=lambda query: query.moments[0])
    return {
        language: tuple(Subtitle(q.texts[language], *q.moments[0]) for q in ordered)
        for language in languages
    }
