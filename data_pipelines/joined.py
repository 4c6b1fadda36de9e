"""Several splits of a dataset as one: `train+val`, for recipes that learn from both.

videos      those of train, then those of val; no video is in both
ids         as they are; of splits that number their records alike, val's are val:17
"""

import bisect
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from data_pipelines.readers.errors import found, wrong
from data_pipelines.schema import Corpus

SEPARATOR = "+"
"""Between the names of the splits."""
IDS = {
    "queries": ("query_id",),
    "questions": ("question_id",),
    "statements": ("statement_id", "opposite"),
    "captions": ("moment_id",),
}
"""Fields of records that name a record of the same kind."""


def join(corpora: Sequence[Corpus]) -> Corpus:
    """All of them, in their order. Raises InputError where two share a video."""
    first = corpora[0]
    _check_apart(corpora)
    records: dict[str, Any] = {kind: _joined(corpora, kind) for kind in IDS}
    return dataclasses.replace(
        first,
        split=SEPARATOR.join(one.split for one in corpora),
        videos=_chained(one.videos for one in corpora),
        features=JoinedFeatures(tuple(one.features for one in corpora)),
        fingerprint=join_fingerprints([one.fingerprint for one in corpora]),
        parallel=_chained(one.parallel for one in corpora),
        tokens=(),  # whose records may have other names now
        video_numbers=_numbers(corpora),
        **records,
    )


def join_fingerprints(
    parts: Sequence[Mapping[str, str | int]],
) -> dict[str, str | int]:
    """Sums of the counts, and one digest of all digests."""
    names = dict.fromkeys(itertools.chain.from_iterable(parts))
    joined: dict[str, str | int] = {}
    for name in names:
        values = [part[name] for part in parts if name in part]
        if name == "split":
            joined[name] = SEPARATOR.join(map(str, values))
        elif name == "digest":
            text = "\n".join(map(str, values))
            joined[name] = hashlib.sha256(text.encode()).hexdigest()
        elif name.startswith("num_"):
            joined[name] = sum(map(int, values))
        else:
            joined[name] = values[0]
    return joined


@dataclasses.dataclass(frozen=True)
class JoinedFeatures(Sequence[np.ndarray]):
    """The frames of several splits, one behind another, read when asked for."""

    parts: tuple[Sequence[np.ndarray], ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | Sequence[np.ndarray]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        ends = list(itertools.accumulate(map(len, self.parts)))
        part = bisect.bisect_right(ends, place)
        return self.parts[part][place - (ends[part] - len(self.parts[part]))]


def _check_apart(corpora: Sequence[Corpus]) -> None:
    known: dict[str, str] = {}
    for corpus in corpora:
        for video in corpus.videos:
            other = known.setdefault(video.video_id, corpus.split)
            if other != corpus.split:
                problem = f"{found(video.video_id)} is in {other} and in {corpus.split}"
                remedy = "join splits that share no video"
                raise wrong(corpus.name, "videos", problem, remedy)


def _joined(corpora: Sequence[Corpus], kind: str) -> tuple[Any, ...]:
    """The records of a kind; a split has longer ids where another has them, too."""
    known: set[str] = set()
    records: list[Any] = []
    for corpus in corpora:
        ones = getattr(corpus, kind)
        ids = {getattr(one, IDS[kind][0]) for one in ones}
        records += ones if known.isdisjoint(ids) else _renamed(ones, kind, corpus.split)
        known |= ids
    return tuple(records)


def _renamed(records: Iterable[Any], kind: str, split: str) -> list[Any]:
    longer = lambda name: f"{split}:{name}" if name else ""
    return [
        dataclasses.replace(
            one, **{field: longer(getattr(one, field)) for field in IDS[kind]}
        )
        for one in records
    ]


def _chained(parts: Iterable[Iterable[Any]]) -> tuple[Any, ...]:
    return tuple(itertools.chain.from_iterable(parts))


def _numbers(corpora: Sequence[Corpus]) -> dict[str, int]:
    """Of all videos, or none: a split may have no table."""
    if not all(one.video_numbers for one in corpora):
        return {}
    return {k: v for one in corpora for k, v in one.video_numbers.items()}
