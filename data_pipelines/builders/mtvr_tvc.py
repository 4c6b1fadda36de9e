"""mTVR's queries of videos that are told by TVC's machine captions.

    sample_val_predictions.jsonl   the captions, put or linked beside mTVR's own files

A captioner that saw the real video and its dialogue wrote one English sentence for
every moment that somebody asks for (crosslingual.md, 4.6, item 2). They stand for what
the real video shows: English subtitles, no Chinese ones.

Of the published files: all 10,841 captions join, by video and both times to the last
digit, the 10,841 different moments of the 10,895 queries of all 2,179 videos, in the
order of the queries. `clip_id` counts moments from 86603 and is no `desc_id`.

So a caption begins and ends where the moment of a query does, and pointing at a
caption is pointing at the answer: this measures video retrieval, not free localisation.
BM25 on the split `all` finds what crosslingual.md, 4.4, says (VR R@1 9.12 %, MRR .154
for English queries; R@1 .16 %, MRR .005 for Chinese ones).
"""

from collections.abc import Iterable, Sequence

from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.folds import Release, with_dialogue
from data_pipelines.builders.mtvr_loo import read_release
from data_pipelines.builders.raw import RawCorpus, Request
from data_pipelines.readers.captions import read_captions
from data_pipelines.readers.errors import Tally, wrong
from data_pipelines.readers.reading import ENGLISH, Reading
from data_pipelines.schema import CaptionedMoment, Subtitle

CAPTIONS = "sample_val_predictions.jsonl"


class MtvrTvc(CorpusBuilder):
    """The dataset `mtvr_tvc_fold<k>`; parallel texts as in mtvr_loo."""

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        file = request.data_dir / CAPTIONS
        if not file.exists():
            remedy = "put or link TVCaption's file beside those of mTVR"
            raise wrong(file, "", "is missing", remedy)
        release = read_release(request)
        reading = Reading(
            durations=release.durations,
            tally=request.tally,
            languages=(ENGLISH,),
            allow_missing=request.allow_missing,
        )
        captions = read_captions(file, reading)
        _count_oddities(release, captions, request.tally)
        dialogues = {
            video_id: {ENGLISH: _lines(captions_of, release.durations[video_id])}
            for video_id, captions_of in _by_video(captions).items()
        }
        return with_dialogue("mtvr_tvc", release, request, dialogues)


def _by_video(captions: Iterable[CaptionedMoment]) -> dict[str, list[CaptionedMoment]]:
    found: dict[str, list[CaptionedMoment]] = {}
    for one in captions:
        found.setdefault(one.video_id, []).append(one)
    return found


def _lines(
    captions: Iterable[CaptionedMoment], duration: float
) -> tuple[Subtitle, ...]:
    """The captions of a video by time; one without a moment is of all of it."""
    lines = [
        Subtitle(caption.texts[ENGLISH], *(one.moment or (0.0, duration)))
        for one in captions
        for caption in one.captions
        if ENGLISH in caption.texts
    ]
    return tuple(sorted(lines, key=lambda line: (line.start, line.end)))


def _count_oddities(
    release: Release, captions: Sequence[CaptionedMoment], tally: Tally
) -> None:
    """What the published files do not have: they join completely."""
    asked = {(q.video_id, moment) for q in release.queries for moment in q.moments}
    for one in captions:
        if (one.video_id, one.moment) not in asked:
            oddity = "captions of a moment that no query asks for, kept"
            tally.add(oddity, one.moment_id)
    told = {one.video_id for one in captions if one.captions}
    for video_id in release.durations:
        if video_id not in told:
            tally.add("videos without captions", video_id)
