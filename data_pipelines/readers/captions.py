"""Annotation files in the style of TVC, YC2C and VATEX-C: what is written of moments.

    {"clip_id": 7, "vid_name": "v1", "duration": 61.4, "ts": [3.2, 9.0], "descs":
     [{"desc_id": 70, "desc": "Ann sits down.", "type": "v"}]}

Without `ts` the captions are of the whole video. A text may also be one per language:
{"en": "...", "zh": "..."}. Test files lack the captions.
"""

from pathlib import Path

from data_pipelines.readers.annotations import KINDS, read_duration
from data_pipelines.readers.errors import found
from data_pipelines.readers.fields import Row
from data_pipelines.readers.reading import Reading
from data_pipelines.schema import Caption, CaptionedMoment


def read_captions(path: Path, reading: Reading) -> tuple[CaptionedMoment, ...]:
    """All captioned moments of a file in the known videos, in its order."""
    return tuple(_moment(row, video, reading) for row, video in reading.rows(path))


def _moment(row: Row, video_id: str, reading: Reading) -> CaptionedMoment:
    moment_id = reading.new_id(row, "clip_id")
    if row.has("duration"):
        read_duration(row, video_id, reading.durations[video_id])
    reading.needs(row, "descs")
    captions = row.rows("descs") if row.values.get("descs") is not None else []
    return CaptionedMoment(
        moment_id=moment_id,
        video_id=video_id,
        moment=reading.moment(row, "ts", video_id),
        captions=tuple(
            _caption(one, f"{moment_id}-{i}", reading) for i, one in enumerate(captions)
        ),
    )


def _caption(row: Row, name: str, reading: Reading) -> Caption:
    kind = row.values.get("type", "")
    if kind not in ("", *KINDS):
        raise row.wrong("type", f"expected v, t or vt, found {found(kind)}")
    caption_id = (
        reading.new_id(row, "desc_id", "caption ") if row.has("desc_id") else name
    )
    return Caption(caption_id, reading.texts(row, "desc"), kind)
