"""mTVR leave-one-out: queries of real videos, with each other for subtitles.

The subtitles of mTVR are not public. Here the five queries of a video, each with its
real times and in two languages, stand for them (crosslingual.md, 4.6, item 1). It is
not a result on mTVR: the dialogue is made of descriptions of what is seen.
"""

import dataclasses

from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.leave_one_out import Release, leave_one_out
from data_pipelines.builders.mtvr import (
    LANGUAGES,
    TEXT_ONLY,
    annotation_file,
    parallel_texts,
    read_queries,
)
from data_pipelines.builders.raw import RawCorpus, Request
from data_pipelines.readers.annotations import read_durations

SPLIT = "val"
"""The split of mTVR with published moments; the folds are parts of it."""


class MtvrLoo(CorpusBuilder):
    """The dataset `mtvr_loo_fold<k>`; the unlinked pairs of the two test files are the
    parallel texts of `train`."""

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        durations = read_durations(request.data_dir / "tvr_video2dur_idx.json")
        videos, seen = durations.get(SPLIT, {}), dict[str, str]()
        release = Release(
            file=annotation_file(request, SPLIT),
            languages=LANGUAGES,
            durations=videos,
            queries=read_queries(request, SPLIT, videos, seen),
        )
        unlinked = [
            query
            for split in TEXT_ONLY
            for query in read_queries(request, split, durations.get(split, {}), seen)
        ]
        release = dataclasses.replace(release, parallel=tuple(parallel_texts(unlinked)))
        return leave_one_out("mtvr_loo", release, request)
