"""mTVR leave-one-out: queries of real videos, with each other for subtitles.

The subtitles of mTVR are not public. Here the five queries of a video, each with its
real times and in two languages, stand for them (crosslingual.md, 4.6, item 1). It is
not a result on mTVR: the dialogue is made of descriptions of what is seen.
"""

import dataclasses
import re
from pathlib import Path
from typing import ClassVar

from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.folds import Release, check_queries
from data_pipelines.builders.leave_one_out import Learnt, as_it_is, leave_one_out
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
from data_pipelines.schema import Query
from data_pipelines.synthetic import is_synthetic

MACHINE = "zh-x-google"
LATIN = re.compile(r"\s*[A-Za-z\u00C0-\u024F][\w'\u2019.-]*\s*", re.ASCII)
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


class MtvrLooTranslated(MtvrLoo):
    """Learns from Google's Chinese in the place of the human one (translate-train).

    Videos, queries and texts of `val` and `test` are those of `mtvr_loo`.
    """

    DATASET = "mtvr_loo_translated"

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        release = read_release(request, cls.learnt)
        needed = (*release.languages, MACHINE)
        check_queries(dataclasses.replace(release, languages=needed))
        return leave_one_out(cls.DATASET, release, request, cls.learnt)

    @classmethod
    def learnt(cls, query: Query) -> Query:
        """English beside its translation by machine, where there is one."""
        pairs = (("en", query.texts.get("en")), ("zh", query.texts.get(MACHINE)))
        texts = {code: cls.shown(code, text) for code, text in pairs if text}
        return dataclasses.replace(query, texts=texts)

    @classmethod
    def shown(cls, language: str, text: str) -> str:
        """What training reads of a text."""
        return text


class MtvrLooTranslatedBare(MtvrLooTranslated):
    """The same without Latin letters in the translations: Google leaves names as they
    are, and names are found without any Chinese (crosslingual.md, 3.5)."""

    DATASET = "mtvr_loo_translated_bare"

    @classmethod
    def shown(cls, language: str, text: str) -> str:
        """A text of nothing but names keeps them."""
        return text if language == "en" else LATIN.sub("", text) or text


def read_release(request: Request, learnt: Learnt = as_it_is) -> Release:
    """The videos and queries with published moments, and the texts of no video.

    `learnt` says what training reads of those texts.
    """
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
        parallel=tuple(parallel_texts([*map(learnt, unlinked)])),
    )
