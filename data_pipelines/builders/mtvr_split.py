"""mTVR for a study: its training videos, and its validation videos in two halves.

The moments of mTVR's test videos are not published. One half of the validation videos,
in the order of the sha256 of their ids, is there to choose by, the other to judge by:

    train   mTVR's train, beside the texts of its test splits as parallel texts
    val     every second video of mTVR's val
    test    the others of them
"""

import dataclasses
from collections.abc import Set

from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.folds import hash_order
from data_pipelines.builders.mtvr import (
    TEXT_ONLY,
    Mtvr,
    annotation_file,
    parallel_texts,
)
from data_pipelines.builders.raw import RawCorpus, RawSplit, Request
from data_pipelines.readers.errors import wrong


class MtvrSplit(CorpusBuilder):
    """The dataset `mtvr_split`."""

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        whole = Mtvr.read(request)
        for name in ("train", "val"):
            if name not in whole.splits or not whole.splits[name].queries:
                problem = f"found no queries of {name}"
                remedy = "training and validation annotations are both needed"
                raise wrong(annotation_file(request, name), "", problem, remedy)
        judged = whole.splits["val"]
        unlinked = [
            query
            for name in TEXT_ONLY
            if name in whole.splits
            for query in whole.splits[name].queries
        ]
        parallel = tuple(parallel_texts(unlinked))
        ordered = hash_order(video.video_id for video in judged.videos)
        splits = {
            "train": dataclasses.replace(whole.splits["train"], parallel=parallel),
            "val": part(judged, set(ordered[::2])),
            "test": part(judged, set(ordered[1::2])),
        }
        return dataclasses.replace(whole, name="mtvr_split", splits=splits)


def part(split: RawSplit, video_ids: Set[str]) -> RawSplit:
    """Some videos of a split, with their frames and the queries about them."""
    kept = [i for i, v in enumerate(split.videos) if v.video_id in video_ids]
    return dataclasses.replace(
        split,
        videos=tuple(split.videos[i] for i in kept),
        queries=tuple(q for q in split.queries if q.video_id in video_ids),
        feature_files=tuple(split.feature_files[i] for i in kept)
        if split.feature_files
        else (),
        parallel=(),
    )
