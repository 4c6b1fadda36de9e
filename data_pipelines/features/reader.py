"""Reads any video file as one picture per frame interval."""

import math
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from data_pipelines.readers.errors import InputError

SHORT_SIDE = 224
"""Larger pictures are reduced to this: what image models read, and long uploads fit."""

_MISSING_SHARE = 0.1
"""Share of the declared duration that may be missing; with more, a file is cut off."""


class VideoFileError(InputError):
    """A video file that is missing, damaged or without pictures."""


def read_frames(path: Path, interval: float) -> tuple[np.ndarray, float]:
    """(uint8 [F, H, W, 3], duration in seconds).

    Picture f is the one on screen in the middle of its interval, at
    (f + 0.5) * interval seconds, or the last one if the video ends before that:

        interval   |    0    |    1    |    2    |  3  |   end of the video
        picture         ^         ^         ^         ^    (the last one shown)

    F = ceil(duration / interval): a started interval counts, unless the video reaches
    less than a hundredth into it. Decoding is sequential; seeking is slower and not
    exact in every format.
    """
    if not path.is_file():
        raise VideoFileError(f"{path}: no such file: check the name")
    try:
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            pictures, duration = _sampled(container, stream, interval)
            declared = _declared_duration(container, stream)
    except av.error.FFmpegError as error:
        raise VideoFileError(
            f"{path}: cannot be decoded ({error.strerror}), expected a complete video"
            " file: copy or convert it again"
        ) from error
    if not pictures:
        raise VideoFileError(f"{path}: no picture could be decoded: convert it again")
    if duration < (1 - _MISSING_SHARE) * declared - interval:
        raise VideoFileError(
            f"{path}: ends after {duration:.1f} s, expected {declared:.1f} s:"
            " the file is cut off, copy it again"
        )
    return np.stack(pictures), duration


def num_intervals(duration: float, interval: float) -> int:
    """How many frames a video has: its started intervals, and at least one."""
    return max(1, math.ceil(duration / interval - 0.01))


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    if not container.streams.video:
        raise VideoFileError(f"{path}: has no video stream: name a video file")
    stream = container.streams.video[0]
    # Whole files are read side by side, which pays better than threads within one.
    stream.codec_context.thread_count = 1
    return stream


def _sampled(
    container: InputContainer, stream: VideoStream, interval: float
) -> tuple[list[np.ndarray], float]:
    """The pictures on screen at the middles of the intervals, and when the last ends.

    Only these few are converted to RGB, which costs more than decoding.
    """
    pictures: list[np.ndarray] = []
    converter = VideoReformatter()
    shown: VideoFrame | None = None
    end = 0.0
    for time, frame in _timed_frames(container, stream):
        while shown is not None and (len(pictures) + 0.5) * interval < time:
            pictures.append(_pixels(shown, converter))
        shown, end = frame, time + _length(frame, stream)
    if shown is not None:
        missing = num_intervals(end, interval) - len(pictures)
        pictures += [_pixels(shown, converter)] * missing
        pictures = pictures[: num_intervals(end, interval)]
    return pictures, end


def _timed_frames(
    container: InputContainer, stream: VideoStream
) -> Iterator[tuple[float, VideoFrame]]:
    """Frames with their times, the first at 0; those without a time follow on."""
    time, first = 0.0, None
    for frame in container.decode(stream):
        if frame.time is not None:
            first = frame.time if first is None else first
            time = max(time, frame.time - first)
        yield time, frame
        time += _length(frame, stream)


def _length(frame: VideoFrame, stream: VideoStream) -> float:
    """Seconds that a frame stays on screen."""
    if frame.duration and frame.time_base:
        return frame.duration * float(frame.time_base)
    return 1 / float(stream.average_rate or 25)


def _declared_duration(container: InputContainer, stream: VideoStream) -> float:
    """What the file says of its length in seconds; 0 where it says nothing."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _pixels(frame: VideoFrame, converter: VideoReformatter) -> np.ndarray:
    scale = min(1.0, SHORT_SIDE / min(frame.width, frame.height))
    small = converter.reformat(
        frame,
        width=round(frame.width * scale),
        height=round(frame.height * scale),
        format="rgb24",
        interpolation="AREA",
        threads=1,
    )
    return small.to_ndarray()
