"""Which frames each subtitle is spoken over, and which span a moment covers.

Frame f lasts from f * interval to (f + 1) * interval seconds. Two rules exist. Ours:

    seconds    0    1.5    3    4.5    6        a frame belongs to every subtitle
    frame      |  0  |  1  |  2  |  3  |        spoken over it, and every subtitle
    "hello"       ######                        with text keeps at least one frame
    "you too"         ###########               -> [0, 1] and [1, 2, 3]

The official one (`official=True`) gives a frame to the one subtitle that fits it best,
so a short subtitle may lose all its frames, and with them its text.
"""

import math
from collections.abc import Sequence

import numpy as np

from data_pipelines.schema import Subtitle

LONG_LAST_SUBTITLE = 16.0
"""Seconds beyond which the official code cuts the last subtitle (H-16) ..."""
LONG_LAST_FRAMES = 11
"""... to so many frames."""
EMPTY_VIDEO_GROUP = 5
"""Frames of a wordless segment in an official video without subtitles."""

Frames = np.ndarray
"""Ascending int32 frame indices, possibly none."""


def frames_of_subtitles(
    subtitles: Sequence[Subtitle],
    *,
    num_frames: int,
    interval: float,
    official: bool = False,
) -> list[Frames]:
    """Frame indices of every subtitle, in the order of `subtitles`.

    By default each subtitle has all the frames it overlaps, and one with text has at
    least the nearest frame, even when it starts after the last one. With `official`
    every frame has at most one owner (hero_spec B.2, quirks H-16 and H-17).
    """
    _check_interval(interval)
    if official:
        return _official_owners(subtitles, num_frames, interval)
    return [_spoken_over(subtitle, num_frames, interval) for subtitle in subtitles]


def _spoken_over(subtitle: Subtitle, num_frames: int, interval: float) -> Frames:
    """All frames that the subtitle overlaps, or the nearest one if it has text."""
    if num_frames == 0:
        return _frames(0, 0)
    # Rounded, so that 0.3 s at an interval of 0.1 s starts in frame 3 and not 2.
    first = math.floor(round(subtitle.start / interval, 6))
    stop = math.ceil(round(subtitle.end / interval, 6))
    frames = _frames(max(first, 0), min(stop, num_frames))
    if len(frames) == 0 and subtitle.text.strip():
        nearest = min(max(first, 0), num_frames - 1)
        return _frames(nearest, nearest + 1)
    return frames


def official_candidates(
    subtitles: Sequence[Subtitle], *, num_frames: int, interval: float
) -> list[Frames]:
    """Frames of every subtitle before one owner is chosen (`sub2frames`; B.2, 3-6).

    They may lie beyond the last frame; a subtitle that starts there has none.
    """
    return [
        _candidates(s, i == len(subtitles) - 1, num_frames, interval)
        for i, s in enumerate(subtitles)
    ]


def _candidates(
    subtitle: Subtitle, is_last: bool, num_frames: int, interval: float
) -> Frames:
    start, end = np.float32(subtitle.start), np.float32(subtitle.end)
    video_end = np.float32(interval * num_frames)
    if start >= video_end:
        return _frames(0, 0)
    first, stop = (
        _floor(start / np.float32(interval)),
        _ceil(end / np.float32(interval)),
    )
    if is_last and min(end, video_end) - start > LONG_LAST_SUBTITLE:
        stop = min(stop, first + LONG_LAST_FRAMES)
    return _frames(first, stop)


def _official_owners(
    subtitles: Sequence[Subtitle], num_frames: int, interval: float
) -> list[Frames]:
    """One owner a frame, the best fit (`unique_sub2frames`; B.2, 7-8)."""
    candidates = official_candidates(
        subtitles, num_frames=num_frames, interval=interval
    )
    rivals: list[list[int]] = [[] for _ in range(num_frames)]
    for i, frames in enumerate(candidates):
        for frame in frames[(frames >= 0) & (frames < num_frames)]:
            rivals[frame].append(i)
    owned: list[list[int]] = [[] for _ in subtitles]
    for frame, ones in enumerate(rivals):
        if ones:
            owned[_owner(frame, ones, subtitles, interval)].append(frame)
    return [np.array(frames, np.int32) for frames in owned]


def _owner(
    frame: int, rivals: Sequence[int], subtitles: Sequence[Subtitle], interval: float
) -> int:
    """The rival with the highest IoU; the first wins ties; subtitle 0 if all are 0."""
    fits = [_overlap(frame, subtitles[i], interval) for i in rivals]
    # H-17: instants overlap nothing, and the official search starts at subtitle 0.
    return rivals[int(np.argmax(fits))] if max(fits) > 0 else 0


def _overlap(frame: int, subtitle: Subtitle, interval: float) -> np.float32:
    """IoU of [frame, frame + 1] and the whole subtitle, in frames, in float32."""
    start = np.float32(subtitle.start) / np.float32(interval)
    end = np.float32(subtitle.end) / np.float32(interval)
    low, high = np.float32(frame), np.float32(frame + 1)
    shared = min(end, high) - max(start, low)
    return shared / (max(end, high) - min(start, low)) if shared > 0 else np.float32(0)


def official_num_frames(
    num_frames: int, subtitles: Sequence[Subtitle], interval: float
) -> int:
    """Frames of a video; where none are recorded, guessed from its last subtitle."""
    if num_frames == 0 and subtitles:
        return int(int(subtitles[-1].end) / interval)
    return num_frames


def frames_of_wordless_video(num_frames: int) -> list[Frames]:
    """Segments of an official video without subtitles: runs of five frames, no text."""
    return [
        _frames(first, min(first + EMPTY_VIDEO_GROUP, num_frames))
        for first in range(0, num_frames, EMPTY_VIDEO_GROUP)
    ]


def cut_frames(
    frames: Sequence[Frames], *, max_frames: int, official: bool = False
) -> list[tuple[int, Frames]]:
    """(subtitle index, its frames) of the subtitles left in the first `max_frames`.

    By default a subtitle goes only when all the frames it had are beyond the cut. With
    `official` every subtitle after the first that lost a frame goes too, whatever
    frames it has (T.2).
    """
    kept = []
    for index, all_frames in enumerate(frames):
        rest = all_frames[all_frames < max_frames]
        if len(rest) or not len(all_frames):
            kept.append((index, rest))
        if official and len(rest) < len(all_frames):
            break
    return kept


def span_of_moment(
    start: float, end: float, *, num_frames: int, interval: float
) -> tuple[int, int]:
    """First and last frame, both inclusive, of a moment in seconds (T.4, VCMR).

    At least two frames, except at the end of the video.
    """
    _check_interval(interval)
    first = min(math.floor(start / interval), num_frames - 1)
    last = max(math.ceil(end / interval) - 1, first + 1)
    return first, min(last, num_frames - 1)


def span_of_text(
    moment: object, *, num_frames: int, interval: float
) -> tuple[int, int]:
    """The span of a question's "start-end" in seconds; (-1, -1) where there is none.

    "No moment" is anything but two numbers around a hyphen: None, "NaN-NaN", a list
    (T.4, QA; H-51).
    """
    try:
        start, end = map(float, moment.split("-"))  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        return -1, -1
    if not (math.isfinite(start) and math.isfinite(end)):
        return -1, -1
    return span_of_moment(start, end, num_frames=num_frames, interval=interval)


def span_of_caption(
    start: float, end: float, *, num_frames: int, interval: float
) -> tuple[int, int]:
    """First frame and the one after the last of a captioned moment (T.4, TVC).

    Half-open, and empty for a moment that starts after the last frame (H-39). The end
    is rounded half to even, as Python does.
    """
    _check_interval(interval)
    first = min(math.floor(start / interval), num_frames)
    return first, min(max(round(end / interval), first + 1), num_frames)


def moment_of_span(first: int, last: int, interval: float) -> tuple[float, float]:
    """Seconds at which an inclusive span of frames starts and ends."""
    return first * interval, (last + 1) * interval


def query_is_kept(num_tokens: int | Sequence[int], max_tokens: int | None) -> bool:
    """Whether a training text is short enough (B.9); None means no limit.

    A question counts together with its longest answer: `[question, answer, ...]`.
    """
    if max_tokens is None:
        return True
    if isinstance(num_tokens, int):
        return num_tokens <= max_tokens
    return num_tokens[0] + max(num_tokens[1:]) <= max_tokens


def _frames(first: int, stop: int) -> Frames:
    return np.arange(first, stop, dtype=np.int32)


def _floor(value: np.float32) -> int:
    return int(np.floor(value))


def _ceil(value: np.float32) -> int:
    return int(np.ceil(value))


def _check_interval(interval: float) -> None:
    if not interval > 0:
        raise ValueError(
            f"interval is {interval}: expected a positive number of seconds"
        )
