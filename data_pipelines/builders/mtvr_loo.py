"""mTVR leave-one-out: queries of real videos, with each other for subtitles.

The subtitles of mTVR are not public. Here the five queries of a video, each with its
real times and in two languages, stand for them (crosslingual.md, 4.6, item 1). It is
not a result on mTVR: the dialogue is made of descriptions of what is seen.
"""

from pathlib import Path
from typing import ClassVar

from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.folds import Release
from data_pipelines.builders.leave_one_out import leave_one_out
from data_pipelines.builders.mtvr import (
    LANGUAGES,
    TEXT_ONLY,
    annotation_file,
    parallel_texts,
    read_queries,
)
from data_pipelines.builders.raw import RawCorpus, Request
from data_pipelines.readers.annotations import read_durations
from data_pipelines.readers.errors import wrong
from data_pipelines.synthetic import is_synthetic

SPLIT = "val"
"""The split of mTVR with published moments; the folds are parts of it."""


class MtvrLoo(CorpusBuilder):
    """The dataset `mtvr_loo_fold<k>`; the unlinked pairs of the two test files are the
    parallel texts of `train`."""

    DATASET: ClassVar[str] = "mtvr_loo"

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        return leave_one_out(cls.DATASET, read_release(request), request)


class MtvrLooSynthetic(MtvrLoo):
    """The same with frames that nobody filmed, under a name that says so."""

    DATASET = "mtvr_loo_synthetic"

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        if not is_synthetic(request.features):
            problem = "holds no synthetic features"
            remedy = "make them with python -m data_pipelines.synthetic"
            raise wrong(request.features or Path(), "--features", problem, remedy)
        return super().read(request)


def read_release(request: Request) -> Release:
    """The videos and queries with published moments, and the texts of no video."""
    durations = read_durations(request.data_dir / "tvr_video2dur_idx.json")
    videos, seen = durations.get(SPLIT, {}), dict[str, str]()
    queries = read_queries(request, SPLIT, videos, seen)
    unlinked = [
        query
        for split in TEXT_ONLY
        for query in read_queries(request, split, durations.get(split, {}), seen)
    ]
    return Release(
        file=annotation_file(request, SPLIT),
        languages=LANGUAGES,
        durations=videos,
        queries=queries,
        parallel=tuple(parallel_texts(unlinked)),
    )
