"""Synthetic frame features: what moments are about, in no language and in noise.

    python -m data_pipelines.synthetic mtvr_loo --data_dir DIR --out FEATURES \\
        --signal_to_noise 1.0 --seed 0

No features of mTVR's videos are public. These stand in for them where a model that sees
is to be studied, and every table of theirs says "synthetic". FEATURES then holds a file
a video, as `python -m data_pipelines.build mtvr_loo_synthetic --features FEATURES`
reads them, and `synthetic.json`, which says how they were made.

    frame = ratio x (what is seen + its show) + noise

    what is seen   the concepts of all moments that cover the frame, summed, of norm 1
    its show       one vector of norm 1 for all videos of a show
    noise          Gaussian, of norm 1 in expectation; at ratio 0 there is nothing else

A concept is a pair of an English and a Chinese word that translate each other, in a
dictionary learnt from texts that belong to no video. It is in a moment only if its
English word is in the English text and its Chinese word in the Chinese one, so that
neither language sees more than the other. Its vector has norm 1 and a direction drawn
for it alone: nothing in it tells how either word is written. Of mTVR's published files
there are 333, many of them names of characters; a query names 2.6, and 6 % name none.
"""

import dataclasses
import functools
import hashlib
import io
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_pipelines import dictionary
from data_pipelines.align import span_of_moment
from data_pipelines.bm25 import tokens_of
from data_pipelines.command import Parser, answer, checked_interval
from data_pipelines.files import write_whole
from data_pipelines.readers.errors import InputError, in_words, wrong
from data_pipelines.schema import Query

if TYPE_CHECKING:
    from data_pipelines.builders.folds import Release

DATASETS = ("mtvr_loo",)
PLAN = "synthetic.json"
ABOUT = (
    "Synthetic features: made from the texts of the queries, a fixed dictionary and "
    "noise. Nobody filmed what they show; say so wherever they are used."
)
MAX_RATIO = 1000.0
MAX_WIDTH = 1 << 14
SHOW = re.compile(r"([a-z]+)_s\d+e\d+")
"""Begins the name of a video; the show without a prefix is The Big Bang Theory."""

Concept = tuple[str, str]
"""A word in each of the two languages."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How the features are made."""

    signal_to_noise: float = 1.0
    """Norm of what is seen, where that of the noise is 1 in expectation."""
    seed: int = 0
    """Of all directions and all noise."""
    width: int = 64
    """Numbers in a frame."""
    interval: float = 1.5
    """Seconds between frames."""


@dataclasses.dataclass(frozen=True)
class Made:
    """What was made, or found made already."""

    num_videos: int
    is_new: bool
    warnings: Sequence[str]


def make_features(data_dir: Path, out: Path, options: Options) -> Made:
    """Fills `out`, unless it holds the same features of the same release.

    Raises InputError for options out of range, for a release at fault, and for a folder
    of features that were not made here.
    """
    from data_pipelines.builders.folds import check_queries
    from data_pipelines.builders.mtvr_loo import read_release
    from data_pipelines.builders.raw import Request

    _check(options)
    request = Request(data_dir=data_dir, interval=options.interval)
    release = read_release(request)
    check_queries(release)
    plan = _plan(release, options)
    with in_words(out):
        is_new = _standing(out) != plan | {"is_whole": True}
        if is_new:
            _write_all(release, options, out, plan)
    return Made(len(release.durations), is_new, request.tally.lines())


def is_synthetic(folder: Path | None) -> bool:
    """Whether a folder of features was made here, to its end."""
    return folder is not None and _standing(folder).get("is_whole") is True


def _check(options: Options) -> None:
    ratio = options.signal_to_noise
    if not 0 <= ratio <= MAX_RATIO:
        problem = f"found {ratio:g}, expected 0 to {MAX_RATIO:g}"
        raise InputError(f"--signal_to_noise: {problem}")
    if options.seed < 0:
        raise InputError(f"--seed: found {options.seed}, expected 0 or more")
    if not 1 <= options.width <= MAX_WIDTH:
        problem = f"found {options.width}, expected 1 to {MAX_WIDTH}"
        raise InputError(f"--width: {problem}")
    checked_interval(options.interval)


def _plan(release: "Release", options: Options) -> dict[str, Any]:
    """Everything that the features depend on."""
    texts = (dict(release.durations), release.queries, release.parallel)
    digest = hashlib.sha256(repr(texts).encode()).hexdigest()
    return {"about": ABOUT, "release": digest, **dataclasses.asdict(options)}


def _standing(out: Path) -> dict[str, Any]:
    """What is said of the features in a folder; nothing where nobody says anything."""
    try:
        plan = json.loads((out / PLAN).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}


def _write_all(
    release: "Release", options: Options, out: Path, plan: Mapping[str, Any]
) -> None:
    """One file a video; the plan calls them whole when the last is there."""
    if not _standing(out) and any(out.glob("*.npz")):
        problem = f"holds features and no {PLAN}"
        raise wrong(out, "--out", problem, "they may be real: name another folder")
    maker = Maker(options, _concepts(release))
    asked: dict[str, list[Query]] = {video_id: [] for video_id in release.durations}
    for query in release.queries:
        asked[str(query.video_id)].append(query)
    say = lambda **state: write_whole(
        out / PLAN, json.dumps({**plan, **state}, indent=1)
    )
    say(is_whole=False)
    for video_id, duration in release.durations.items():
        frames = maker.frames(video_id, duration, asked[video_id])
        file = io.BytesIO()
        np.savez(file, features=frames)
        write_whole(out / f"{video_id}.npz", file.getvalue())
    say(is_whole=True)


def _concepts(release: "Release") -> Mapping[str, str]:
    """English word -> Chinese word, of texts that nobody searches with."""
    english, chinese = release.languages
    found = dictionary.learn_words(
        [(tokens_of(t[english]), tokens_of(t[chinese])) for t in release.parallel]
    )
    if not found:
        problem = f"no concepts in {len(release.parallel)} texts that name no video"
        remedy = (
            "frames show what both languages name: add the files of the test splits"
        )
        raise wrong(release.file, "", problem, remedy)
    return found


@dataclasses.dataclass(frozen=True)
class Maker:
    """Makes the frames of one video after another; their order does not matter."""

    options: Options
    concepts: Mapping[str, str]
    """English word -> Chinese word."""

    def frames(
        self, video_id: str, duration: float, queries: Iterable[Query]
    ) -> np.ndarray:
        """float16 [frames, width]."""
        from data_pipelines.builders.frames import frames_in

        width = self.options.width
        num_frames = frames_in(duration, self.options.interval)
        seen = np.zeros((num_frames, width))
        for query in queries:
            self._show(seen, query)
        show = self.vector("show", show_of(video_id))
        noise = self._rng("noise", video_id).standard_normal((num_frames, width))
        signal = self.options.signal_to_noise * (_normalised(seen) + show)
        return (signal + noise / math.sqrt(width)).astype(np.float16)

    def _show(self, seen: np.ndarray, query: Query) -> None:
        """Adds what a query is about to the frames of its moments."""
        vectors = [self.vector(*concept) for concept in self.concepts_of(query)]
        for moment in query.moments if vectors else ():
            first, last = span_of_moment(
                *moment, num_frames=len(seen), interval=self.options.interval
            )
            seen[first : last + 1] += np.sum(vectors, axis=0)

    def concepts_of(self, query: Query) -> list[Concept]:
        """Those that both texts of a query name, each once."""
        english = dict.fromkeys(tokens_of(query.texts["en"]))
        chinese = set(tokens_of(query.texts["zh"]))
        pairs = ((word, self.concepts.get(word)) for word in english)
        return [(word, other) for word, other in pairs if other in chinese]

    def vector(self, *names: str) -> np.ndarray:
        """The direction of what has these names, float64 [width]."""
        return _direction(self.options.seed, self.options.width, names)

    def _rng(self, *names: str) -> np.random.Generator:
        return _rng(self.options.seed, names)


def show_of(video_id: str) -> str:
    """The prefix of a video's name that tells its show."""
    match = SHOW.match(video_id)
    return match[1] if match else ""


@functools.lru_cache(maxsize=1 << 14)
def _direction(seed: int, width: int, names: tuple[str, ...]) -> np.ndarray:
    return _normalised(_rng(seed, names).standard_normal(width))


def _rng(seed: int, names: tuple[str, ...]) -> np.random.Generator:
    """The same draws for the same names, whatever else is drawn."""
    digest = hashlib.sha256(repr(names).encode()).digest()
    return np.random.default_rng((seed, int.from_bytes(digest, "big")))


def _normalised(vectors: np.ndarray) -> np.ndarray:
    """Of norm 1 along the last axis; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes of `command.answer`."""
    return answer(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> None:
    chosen = _parser().parse_args(arguments)
    names = [field.name for field in dataclasses.fields(Options)]
    options = Options(**{name: getattr(chosen, name) for name in names})
    made = make_features(chosen.data_dir, chosen.out, options)
    for warning in made.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    verb = "made" if made.is_new else "up to date"
    print(f"{chosen.out}: synthetic features of {made.num_videos} videos, {verb}")


def _parser() -> Parser:
    parser = Parser(
        prog="python -m data_pipelines.synthetic",
        description="Makes synthetic features: what moments are about, in noise.",
    )
    parser.add_argument("dataset", choices=DATASETS, help="what --data_dir holds")
    parser.add_argument("--data_dir", type=Path, required=True, help="the raw release")
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    helps = {
        "signal_to_noise": "norm of what is seen over that of the noise",
        "seed": "of all directions and all noise",
        "width": "numbers in a frame",
        "interval": "seconds between frames",
    }
    for field in dataclasses.fields(Options):
        default: Any = field.default
        about = f"{helps[field.name]} ({default})"
        parser.add_argument(
            f"--{field.name}", type=type(default), default=default, help=about
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
