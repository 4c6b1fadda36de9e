"""Writes a corpus: videos, subtitles, annotations, the true log and the manifest.

manifest.json                               last; its presence means complete
events.jsonl                                what truly happens, a line a video
videos/<id>.mp4
subtitles/<id>.<language>.srt
annotations/<tvr|tvqa|violin|tvc>_<train|val|test>.jsonl
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from data_pipelines.microtv.annotations import (
    DATASETS,
    LANGUAGES,
    VideoTexts,
    desc_id_of,
    texts_of,
)
from data_pipelines.microtv.drawing import SIZE, scene_pictures
from data_pipelines.microtv.facts import SPLITS
from data_pipelines.microtv.plan import FPS, VideoPlan, plan_corpus
from data_pipelines.readers.errors import BusyError, InputError, found, in_words
from data_pipelines.readers.fields import read_json
from data_pipelines.workers import spread

FORMAT = 1
CODEC: Final = "mpeg4"
_UNFINISHED = ".microtv-unfinished"


class OutputError(InputError):
    """The output folder holds something that this corpus may not overwrite."""


def generate(out: Path, *, num_videos: int, seed: int, workers: int = 1) -> None:
    """Writes the corpus, or checks that the one in `out` is the one asked for."""
    with in_words(out):
        plans = plan_corpus(num_videos, seed)
        with _alone(out):
            _generate(out, plans, seed, workers)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Locks the folder itself; the system lets go of it when the process ends."""
    out.mkdir(parents=True, exist_ok=True)
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        problem = "another process generates a corpus here"
        raise BusyError(f"{out}: {problem} (wait for it to end)") from None
    finally:
        os.close(folder)


def _generate(out: Path, plans: list[VideoPlan], seed: int, workers: int) -> None:
    if (out / "manifest.json").exists():
        _check_same(out / "manifest.json", num_videos=len(plans), seed=seed)
        return
    _claim(out)
    _write_texts(out, plans, seed)
    _write_videos(out / "videos", plans, seed, workers)
    _write_atomically(out / "manifest.json", _json(_manifest(plans, seed), indent=1))
    (out / _UNFINISHED).unlink()


def _check_same(manifest: Path, **wanted: int) -> None:
    try:
        there = read_json(manifest).values
    except InputError as error:
        raise OutputError(f"{error}: remove it, or use another folder") from None
    for field, value in {"format": FORMAT, **wanted}.items():
        kept = there.get(field)
        if type(kept) is not int or kept != value:
            problem = f"{field} is {found(kept)}, asked for {value}"
            raise OutputError(f"{manifest}: {problem}: use another folder")


def _claim(out: Path) -> None:
    """Makes an empty corpus folder; clears what an interrupted run left there."""
    taken = sorted(path.name for path in out.iterdir())
    if taken and _UNFINISHED not in taken:
        raise OutputError(
            f"{out}: holds {taken[0]} but no manifest.json, expected an empty folder "
            "or a corpus with its manifest.json: use another folder, or add the file"
        )
    (out / _UNFINISHED).touch()
    (out / "events.jsonl").unlink(missing_ok=True)
    for name in ("videos", "subtitles", "annotations"):
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir()


def _write_texts(out: Path, plans: list[VideoPlan], seed: int) -> None:
    texts = [texts_of(p, np.random.default_rng((seed, p.index, 1))) for p in plans]
    for plan, of_video in zip(plans, texts):
        for language in LANGUAGES:
            path = out / "subtitles" / f"{plan.video_id}.{language}.srt"
            path.write_text(_srt(of_video, language), encoding="utf-8")
    for dataset in DATASETS:
        for split in SPLITS:
            rows = [
                row
                for plan, of_video in zip(plans, texts)
                for row in of_video.annotations[dataset]
                if plan.split == split
            ]
            _write_lines(out / "annotations" / f"{dataset}_{split}.jsonl", rows)
    _write_lines(out / "events.jsonl", map(_log_line, plans))


def _srt(texts: VideoTexts, language: str) -> str:
    cues = [
        f"{number}\n{_stamp(line.start)} --> {_stamp(line.end)}\n{text[language]}\n"
        for number, (line, text) in enumerate(texts.subtitles, start=1)
    ]
    return "\n".join(cues)


def _stamp(seconds: float) -> str:
    """62.5 -> 00:01:02,500."""
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02},{milliseconds:03}"


def _log_line(plan: VideoPlan) -> dict[str, Any]:
    return {
        "vid_name": plan.video_id,
        "split": plan.split,
        "duration": plan.duration,
        "sibling": plan.sibling or None,
        "scenes": [
            {"desc_id": desc_id_of(plan, scene), **dataclasses.asdict(scene)}
            for scene in plan.scenes
        ],
    }


def _manifest(plans: list[VideoPlan], seed: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "dataset": "microtv",
        "seed": seed,
        "num_videos": len(plans),
        "languages": list(LANGUAGES),
        "names": [],
        "splits": {
            split: [plan.video_id for plan in plans if plan.split == split]
            for split in SPLITS
        },
        "video": {"fps": FPS, "width": SIZE, "height": SIZE, "codec": CODEC},
    }


def _write_videos(
    folder: Path, plans: list[VideoPlan], seed: int, workers: int
) -> None:
    """One process a worker: drawing holds the interpreter, threads would not help."""
    for _ in spread(partial(_write_video, folder, seed), plans, workers):
        pass


def _write_video(folder: Path, seed: int, plan: VideoPlan) -> None:
    rng = np.random.default_rng((seed, plan.index, 2))
    path = folder / f"{plan.video_id}.mp4"
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(CODEC, rate=FPS, options={"flags": "+bitexact"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 400_000
        # More threads would cut frames into slices by their number.
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(_frames(plan, rng)):
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _frames(plan: VideoPlan, rng: np.random.Generator) -> Iterator[av.VideoFrame]:
    """What is on screen, FPS times a second; pictures are converted once and reused."""
    converter = VideoReformatter()
    for scene in plan.scenes:
        rgb = [
            av.VideoFrame.from_ndarray(picture, format="rgb24")
            for picture in scene_pictures(scene.facts, rng)
        ]
        pictures = [
            converter.reformat(picture, format="yuv420p", threads=1) for picture in rgb
        ]
        num_frames = round((scene.end - scene.start) * FPS)
        for choice in rng.integers(len(pictures), size=num_frames):
            yield pictures[choice]


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _write_lines(path: Path, rows: Iterable[Any]) -> None:
    path.write_text("".join(_json(row) + "\n" for row in rows), encoding="utf-8")


def _write_atomically(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(text + "\n", encoding="utf-8")
    os.replace(unfinished, path)
