"""The TFDS builder of converted databases: a dataset's splits with their videos."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping

from data_pipelines import official
from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.frames import frames_in
from data_pipelines.builders.raw import (
    NO_FEATURES_WIDTH,
    RawCorpus,
    RawSplit,
    Request,
)
from data_pipelines.official_db import layout
from data_pipelines.official_db.layout import CORPUS_OF, Layout, VideoDb
from data_pipelines.official_db.stores import TextDb, frame_counts, video_list
from data_pipelines.official_db.texts import (
    Dialogue,
    Texts,
    read_dialogue,
    read_texts,
)
from data_pipelines.readers import lmdb
from data_pipelines.readers.annotations import numbers_of
from data_pipelines.readers.captions import read_captions
from data_pipelines.readers.errors import Tally, found, wrong
from data_pipelines.readers.features import Header
from data_pipelines.readers.packed import StoredFrames, frames_header
from data_pipelines.readers.reading import Reading
from data_pipelines.schema import Caption, CaptionedMoment, Query, Tokens, Video

CAPTIONED = {"vatex_en_r": "vatex_en_c", "yc2r": "yc2c"}
"""Datasets whose queries are also the captions of another (D.7)."""
MISSING = "videos without features, dropped with what is said about them"
FEWER = "videos with fewer frames stored than counted, kept as stored"
REALIGNED = "videos whose stored alignment is not the one computed, computed anew"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DbRequest(Request):
    """What to convert; `data_dir` holds the databases."""

    dataset: str
    version: str | None = None
    """Which features, such as clip-vit_slowfast; None takes the official or only."""
    language: str = "en"
    """Language of all texts."""


class OfficialDb(CorpusBuilder):
    """Databases as the official preparation wrote them."""

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        assert isinstance(request, DbRequest)
        return _Reader(request, layout.find(request.data_dir)).corpus()


@dataclasses.dataclass(frozen=True)
class _Reader:
    """One pass over the databases of one dataset."""

    request: DbRequest
    layout: Layout

    @property
    def tally(self) -> Tally:
        return self.request.tally

    def corpus(self) -> RawCorpus:
        splits = {name: self._split(name) for name in self.texts}
        header = self.frames.header if self.frames else None
        return RawCorpus(
            name=self.request.dataset,
            languages=(self.request.language,),
            interval=self.interval,
            splits=splits,
            feature_width=header.width if header else NO_FEATURES_WIDTH,
            feature_dtype=header.stored_dtype.name if header else None,
            special_tokens=self._special_tokens(),
        )

    @functools.cached_property
    def texts(self) -> dict[str, Texts]:
        """Split -> what is asked; of a corpus that nobody asks about, its videos."""
        name, language = self.request.dataset, self.request.language
        if databases := self.layout.splits.get(name):
            return {
                split: read_texts(path, language, self.tally)
                for split, path in databases.items()
            }
        if name not in self.layout.subtitles:
            known = ", ".join(self.layout.datasets())
            problem = f"found {found(name)}, expected one of {known}"
            raise wrong(self.layout.root, "--dataset", problem)
        lists = self.layout.pretraining.get(name, {})
        splits = {split: video_list(path) for split, path in lists.items()}
        splits = splits or {"all": list(TextDb(self.layout.subtitles[name]).entries)}
        return {
            split: Texts(videos=dict.fromkeys(videos))
            for split, videos in splits.items()
        }

    @functools.cached_property
    def asked(self) -> set[str]:
        return {video for texts in self.texts.values() for video in texts.videos}

    @functools.cached_property
    def subtitles(self) -> TextDb | None:
        """The subtitles of the dataset's corpus, or others of the same videos."""
        paths = self.layout.subtitles
        for corpus in self._corpora():
            if corpus in paths:
                return TextDb(paths[corpus])
        databases = map(TextDb, paths.values())
        return next((db for db in databases if self.asked <= db.entries.keys()), None)

    @functools.cached_property
    def frames(self) -> "_Frames | None":
        """Features of the dataset's corpus, or others of the same videos."""
        corpora = self._corpora()
        others = sorted({db.corpus for db in self.layout.videos} - set(corpora))
        for corpus in (*corpora, *others):
            if db := self.layout.video_db(corpus, self.request.version):
                frames = _Frames(db, self.request.allow_missing, self.tally)
                if corpus in corpora or self.asked <= frames.entries.keys():
                    return frames
        return None

    def _corpora(self) -> tuple[str, ...]:
        name = self.request.dataset
        return tuple(dict.fromkeys((CORPUS_OF.get(name, name), name)))

    @functools.cached_property
    def interval(self) -> float:
        """Seconds between frames, of the features and of the alignment."""
        aligned = self.subtitles.interval() if self.subtitles else None
        if self.frames is None:
            return aligned or self.request.interval
        if aligned not in (None, self.frames.db.interval):
            problem = f"was matched with frames every {aligned:g} seconds"
            self.tally.add(f"subtitles {problem}, aligned anew", self.frames.db.path)
        return self.frames.db.interval

    def _special_tokens(self) -> dict[str, int]:
        databases = self.layout.splits.get(self.request.dataset, {}).values()
        texts = [self.subtitles] if self.subtitles else [*map(TextDb, databases)]
        return next((ids for db in texts if (ids := db.special_tokens())), {})

    @functools.cached_property
    def tables(self) -> Mapping[str, Mapping[str, tuple[float, int]]]:
        """Split -> video -> (seconds, number), for corpora of fixed order; else {}."""
        return self.subtitles.tables() if self.subtitles else {}

    def _split(self, split: str) -> RawSplit:
        texts = self.texts[split]
        measured = [
            one for video in self._videos(split) if (one := self._video(video, texts))
        ]
        known = {video.video_id for video, _, _ in measured} | {None}
        queries = tuple(one for one in texts.queries if one.video_id in known)
        captions = [one for one in texts.captions if one.video_id in known]
        videos = tuple(video for video, _, _ in measured)
        if self.request.dataset in CAPTIONED:
            captions += self._captioned(split, videos, queries)
        numbers = {name: number for name, (_, number) in self._fixed(split).items()}
        return RawSplit(
            videos=videos,
            video_numbers=numbers_of(numbers, [video.video_id for video in videos]),
            queries=queries,
            feature_files=tuple(frames for _, frames, _ in measured if frames),
            questions=tuple(one for one in texts.questions if one.video_id in known),
            statements=tuple(one for one in texts.statements if one.video_id in known),
            captions=tuple(captions),
            tokens=(*(ids for _, _, ids in measured if ids), *texts.tokens),
        )

    def _captioned(
        self, split: str, videos: Iterable[Video], queries: Iterable[Query]
    ) -> list[CaptionedMoment]:
        """What was written about the videos, under the ids that the release has."""
        asked = {one.video_id: one for one in captioned_videos(queries)}
        files = self.layout.captions.get(CAPTIONED[self.request.dataset], {})
        if split not in files:
            return list(asked.values())
        known = dict.fromkeys(video.video_id for video in videos)
        reading = Reading(durations=known, tally=self.tally, allow_missing=True)
        named = [
            dataclasses.replace(moment, captions=asked[moment.video_id].captions)
            if moment.video_id in asked
            else moment
            for moment in read_captions(files[split], reading)
        ]
        for moment in named:
            asked.pop(moment.video_id, None)
        # By their videos: a query may have the number of one of the others.
        others = [dataclasses.replace(m, moment_id=v) for v, m in asked.items()]
        return named + others

    def _videos(self, split: str) -> Iterable[str]:
        """The videos searched in: those of the fixed table, else those asked about."""
        texts = self.texts[split]
        if self.request.dataset not in self.layout.splits:
            return texts.videos
        fixed = self._fixed(split) if texts.queries else {}
        return [*fixed, *sorted(texts.videos.keys() - fixed.keys())]

    def _fixed(self, split: str) -> Mapping[str, tuple[float, int]]:
        """The table's split of this name, or of one that begins like it.

        Databases are called val_1k or test where the table has val or test_public.
        """
        alike = [
            name
            for name in self.tables
            if split.startswith(name) or name.startswith(split)
        ]
        best = split if split in alike else next(iter(alike), None)
        return self.tables[best] if best else {}

    def _video(
        self, video_id: str, texts: Texts
    ) -> tuple[Video, StoredFrames | None, Tokens | None] | None:
        """A video with its frames and subtitles; None for one that is dropped."""
        frames = self.frames.of(video_id) if self.frames else None
        if self.frames and not frames:
            return None
        spoken = self._dialogue(video_id)
        seconds = self._seconds.get(video_id, texts.durations.get(video_id))
        num_frames = frames.num_frames if frames else self._counted(spoken, seconds)
        if not num_frames:
            problem = "has no features, no subtitles and no duration"
            remedy = "add one of these, or pass --allow_missing to drop it"
            raise wrong(self.layout.root, video_id, problem, remedy)
        video = Video(
            video_id=video_id,
            duration=seconds or num_frames * self.interval,
            interval=self.interval,
            num_frames=num_frames,
            subtitles={self.request.language: spoken.subtitles if spoken else ()},
        )
        if spoken is None:
            return video, frames, None
        self._check_alignment(video, spoken)
        return video, frames, Tokens("videos", video_id, spoken.tokens)

    def _dialogue(self, video_id: str) -> Dialogue | None:
        if self.subtitles is None:
            return None
        if video_id not in self.subtitles.entries:
            self.tally.add("videos without subtitles, kept", video_id)
            return None
        return read_dialogue(self.subtitles.row(video_id))

    @functools.cached_property
    def _seconds(self) -> dict[str, float]:
        tables = self.tables.values()
        return {name: one[0] for table in tables for name, one in table.items()}

    def _counted(self, spoken: Dialogue | None, seconds: float | None) -> int:
        """Frames of a video without features; 0 where nothing tells."""
        if spoken and spoken.num_frames:
            return spoken.num_frames
        return frames_in(seconds, self.interval) if seconds else 0

    def _check_alignment(self, video: Video, spoken: Dialogue) -> None:
        """Ours is computed from times; a database of other frames has another."""
        computed = official.subtitle_record(
            spoken.subtitles,
            spoken.tokens,
            num_frames=video.num_frames,
            interval=video.interval,
        )
        if computed["unique_sub2frames"] != spoken.frames:
            self.tally.add(REALIGNED, video.video_id)


def captioned_videos(queries: Iterable[Query]) -> list[CaptionedMoment]:
    """Every video with all that was asked about it as what was written about it.

    It is one hypothesis that is compared with ten references of VATEX (F.7). The moment
    is called as its first query is.
    """
    written: dict[str, list[Query]] = {}
    for one in queries:
        if one.video_id is not None:
            written.setdefault(one.video_id, []).append(one)
    return [
        CaptionedMoment(
            moment_id=ones[0].query_id,
            video_id=video_id,
            captions=tuple(Caption(one.query_id, one.texts) for one in ones),
        )
        for video_id, ones in written.items()
    ]


@dataclasses.dataclass
class _Frames:
    """A database of features; its videos must be alike in width and type."""

    db: VideoDb
    allow_missing: bool
    tally: Tally
    header: Header | None = None
    """That of the first video."""

    @functools.cached_property
    def entries(self) -> dict[str, lmdb.Entry]:
        return lmdb.entries(self.db.path)

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        return frame_counts(self.db)

    def of(self, video_id: str) -> StoredFrames | None:
        """The frames that the official reader would read; None for a dropped video."""
        entry = self.entries.get(video_id)
        if entry is None and self.allow_missing:
            self.tally.add(MISSING, video_id)
            return None
        if entry is None:
            remedy = "pass --allow_missing to drop such videos"
            raise wrong(self.db.path, video_id, "has no features here", remedy)
        header = frames_header(entry)
        self.header = self.header or header
        kept, expected = (
            (one.width, one.stored_dtype.name) for one in (header, self.header)
        )
        if kept != expected:
            problem = f"is {kept[0]} wide in {kept[1]}, expected {expected[0]} in "
            raise wrong(entry, "features", f"{problem}{expected[1]} as in the others")
        counted = self.counts.get(video_id) or header.num_frames
        if counted > header.num_frames:
            self.tally.add(FEWER, entry)
        return StoredFrames(entry, min(counted, header.num_frames))
