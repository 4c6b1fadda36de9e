"""Writes the features of a folder of videos, one `<video id>.npz` each.

    python -m data_pipelines.features.extract --videos DIR --out DIR --interval 1.5

The files are those of HERO_Video_Feature_Extractor (hero_spec.md E.5): key `features`,
float16 [frames, width]. Files that exist already are left as they are.
"""

import os
import sys
from functools import partial
from pathlib import Path

import numpy as np

from data_pipelines.command import Parser, answer, checked_interval, checked_workers
from data_pipelines.features.extractor import Extractor, PixelExtractor
from data_pipelines.features.reader import VideoFileError, read_frames
from data_pipelines.workers import spread

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("webm", "mkv", "mpg", "mpeg", "mpv", "ogg", "mp4", "m4p"),
        *("m4v", "avi", "wmv", "qt", "mov", "flv"),
    )
)


def extract_features(
    videos_dir: Path,
    out_dir: Path,
    *,
    extractor: Extractor,
    interval: float,
    workers: int = 1,
) -> None:
    """Features of every video in `videos_dir`, one vector per `interval` seconds."""
    videos = _videos_in(videos_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    todo = [path for path in videos if not (out_dir / f"{path.stem}.npz").exists()]
    write = partial(_write_features, out_dir, extractor, interval)
    for _ in spread(write, todo, workers):
        pass


def _videos_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise VideoFileError(f"{folder}: no such folder: check --videos")
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not videos:
        raise VideoFileError(f"{folder}: holds no video file: check --videos")
    by_id: dict[str, Path] = {}
    for path in videos:
        if path.stem in by_id:
            raise VideoFileError(
                f"{path}: has the same video id as {by_id[path.stem].name}: rename one"
            )
        by_id[path.stem] = path
    return videos


def _write_features(
    out_dir: Path, extractor: Extractor, interval: float, video: Path
) -> None:
    frames, _ = read_frames(video, interval)
    target = out_dir / f"{video.stem}.npz"
    # The process id: two runs over one folder must not write into one file.
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            np.savez(file, features=extractor(frames).astype(np.float16))
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Exit codes of `command.answer`."""
    return answer(lambda: _run(arguments))


def _run(arguments: list[str] | None) -> None:
    parser = Parser(
        prog="python -m data_pipelines.features.extract",
        description="Writes one feature file per video, with the pixel extractor.",
    )
    parser.add_argument("--videos", type=Path, required=True, help="folder of videos")
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    parser.add_argument(
        "--interval", type=float, default=1.5, help="seconds that a frame stands for"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes that decode"
    )
    chosen = parser.parse_args(arguments)
    extract_features(
        chosen.videos,
        chosen.out,
        extractor=PixelExtractor(),
        interval=checked_interval(chosen.interval),
        workers=checked_workers(chosen.workers),
    )


if __name__ == "__main__":
    sys.exit(main())
