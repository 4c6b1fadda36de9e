"""How much of the queries each channel can answer, by oracles that read the true log.

    python -m data_pipelines.microtv.oracle DIR [--split test]

Three tables. How well each visual fact is read from one decoded frame by a linear map
fitted on the training videos. How often an oracle that sees (the facts so read), hears
(the facts told, from the log) or does both puts the true video first, by query type.
And what plain word matching finds, for every query and subtitle language.
"""

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.bm25 import BM25, rank_of, tokens_of
from data_pipelines.command import Parser, answer
from data_pipelines.features.extractor import PixelExtractor
from data_pipelines.features.reader import read_frames
from data_pipelines.microtv.facts import (
    SAID,
    SHOWN_IN_VT,
    SPLITS,
    TOLD_IN_VT,
    VISUAL,
    Facts,
)
from data_pipelines.readers.fields import read_json, read_json_lines

CHANNELS = ("sees", "hears", "both")
KINDS = ("v", "t", "vt")
_ASKED = {"v": VISUAL, "t": SAID, "vt": (*SHOWN_IN_VT, *TOLD_IN_VT)}


@dataclasses.dataclass(frozen=True)
class LoggedVideo:
    """One line of the true log, and the features of the frames that were decoded."""

    line: Mapping[str, Any]
    features: np.ndarray
    """float32 [frames, width]."""
    times: np.ndarray
    """float64 [frames]: the middle of each frame, in seconds."""

    @cached_property
    def true_facts(self) -> list[Facts]:
        """What is truly going on at each frame."""
        ends = [scene["end"] for scene in self.line["scenes"]]
        at = np.minimum(np.searchsorted(ends, self.times, "right"), len(ends) - 1)
        return [self.line["scenes"][i]["facts"] for i in at]


def read_log(folder: Path, split: str, interval: float = 1.5) -> list[LoggedVideo]:
    """The videos of a split with their frames, decoded as any user's would be."""
    lines = [dict(row.values) for row in read_json_lines(folder / "events.jsonl")]
    return [_decoded(folder, ln, interval) for ln in lines if ln["split"] == split]


def _decoded(folder: Path, line: dict[str, Any], interval: float) -> LoggedVideo:
    frames, _ = read_frames(folder / "videos" / f"{line['vid_name']}.mp4", interval)
    times = (np.arange(len(frames)) + 0.5) * interval
    return LoggedVideo(line, PixelExtractor()(frames), times)


@dataclasses.dataclass(frozen=True)
class Eye:
    """Reads visual facts off features: one linear map, fitted by ridge regression."""

    weights: np.ndarray

    @classmethod
    def fitted(cls, videos: Sequence[LoggedVideo], penalty: float = 1.0) -> "Eye":
        inputs = _with_ones(np.concatenate([video.features for video in videos]))
        targets = np.array(
            [
                [facts[field] == value for field in VISUAL for value in VISUAL[field]]
                for video in videos
                for facts in video.true_facts
            ],
            float,
        )
        gram = inputs.T @ inputs + penalty * np.eye(inputs.shape[1])
        return cls(np.linalg.solve(gram, inputs.T @ targets))

    def facts(self, features: np.ndarray) -> list[Facts]:
        """What each frame shows."""
        columns = np.split(
            _with_ones(features) @ self.weights,
            np.cumsum([len(values) for values in VISUAL.values()])[:-1],
            axis=1,
        )
        read = {
            field: [values[i] for i in scores.argmax(axis=1)]
            for (field, values), scores in zip(VISUAL.items(), columns)
        }
        return [
            {field: read[field][i] for field in VISUAL} for i in range(len(features))
        ]


def _with_ones(features: np.ndarray) -> np.ndarray:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def fact_accuracy(eye: Eye, videos: Iterable[LoggedVideo]) -> dict[str, float]:
    """field -> share of frames in which it is read correctly."""
    pairs = [
        pair
        for video in videos
        for pair in zip(eye.facts(video.features), video.true_facts)
    ]
    return {
        field: float(np.mean([seen[field] == true[field] for seen, true in pairs]))
        for field in VISUAL
    }


def oracle_recall(
    eye: Eye, videos: Sequence[LoggedVideo]
) -> dict[str, dict[str, float]]:
    """channel -> query type -> chance that the true video is ranked first.

    Videos that fit equally well share the first place: 1 / their number each.
    """
    seen = [eye.facts(video.features) for video in videos]
    heard = [
        [{field: facts[field] for field in SAID} for facts in video.true_facts]
        for video in videos
    ]
    both = [
        [s | h for s, h in zip(*pair)] for pair in zip(seen, heard)
    ]  # frame by frame
    return {
        channel: {kind: _first_places(known, videos, kind) for kind in KINDS}
        for channel, known in zip(CHANNELS, (seen, heard, both))
    }


def _first_places(
    known: Sequence[Sequence[Facts]], videos: Sequence[LoggedVideo], kind: str
) -> float:
    shares = []
    for true, video in enumerate(videos):
        for scene in video.line["scenes"]:
            if scene["kind"] == kind:
                asked = {field: scene["facts"][field] for field in _ASKED[kind]}
                fits = np.array([_fit(frames, asked) for frames in known])
                best = fits == fits.max()
                shares.append(best[true] / best.sum())
    return float(np.mean(shares))


def _fit(frames: Sequence[Facts], asked: Facts) -> int:
    """Most asked facts that are known to hold together at one frame."""
    wanted = asked.items()
    return max(len(wanted & facts.items()) for facts in frames)


def word_matching(folder: Path, split: str) -> dict[tuple[str, str, str], float]:
    """(query type, query language, subtitle language) -> MRR of BM25 over videos."""
    manifest = read_json(folder / "manifest.json").values
    languages, names = manifest["languages"], manifest["splits"][split]
    rows = read_json_lines(folder / "annotations" / f"tvr_{split}.jsonl")
    queries = [row.values for row in rows]
    rng = np.random.default_rng(0)
    table = {}
    for subtitles in languages:
        index = BM25([_subtitle_tokens(folder, name, subtitles) for name in names])
        for language in languages:
            for kind in KINDS:
                ranks = [
                    rank_of(
                        index.scores(tokens_of(query["descs"][language])),
                        names.index(query["vid_name"]),
                        rng,
                    )
                    for query in queries
                    if query["type"] == kind
                ]
                table[kind, language, subtitles] = float(np.mean(1 / np.array(ranks)))
    return table


def _subtitle_tokens(folder: Path, name: str, language: str) -> list[str]:
    srt = (folder / "subtitles" / f"{name}.{language}.srt").read_text(encoding="utf-8")
    return [token for cue in srt.split("\n\n") for token in tokens_of(_text_of(cue))]


def _text_of(cue: str) -> str:
    """A cue without its number and its times."""
    return " ".join(cue.strip().split("\n")[2:])


def chance_mrr(num_videos: int) -> float:
    """Mean reciprocal rank of a random order."""
    return float(np.mean(1 / np.arange(1, num_videos + 1)))


def main(arguments: list[str] | None = None) -> int:
    """Exit codes of `command.answer`."""
    return answer(lambda: _run(arguments))


def _run(arguments: list[str] | None) -> None:
    parser = Parser(
        prog="python -m data_pipelines.microtv.oracle",
        description="Prints what each channel of a generated corpus can answer.",
    )
    parser.add_argument("folder", type=Path, help="a corpus written by microtv")
    parser.add_argument("--split", default="test", choices=SPLITS, help="whose queries")
    chosen = parser.parse_args(arguments)
    eye = Eye.fitted(read_log(chosen.folder, "train"))
    videos = read_log(chosen.folder, chosen.split)
    _print_tables(eye, videos, word_matching(chosen.folder, chosen.split))


def _print_tables(
    eye: Eye,
    videos: Sequence[LoggedVideo],
    matching: Mapping[tuple[str, str, str], float],
) -> None:
    print("read from one frame by a linear map, % correct")
    for field, accuracy in fact_accuracy(eye, videos).items():
        print(f"  {field:<10}{100 * accuracy:7.1f}")
    print(f"\nR@1 of oracles over {len(videos)} videos (chance {1 / len(videos):.1%})")
    print(f"  {'':<8}" + "".join(f"{kind:>8}" for kind in KINDS))
    for channel, by_kind in oracle_recall(eye, videos).items():
        cells = "".join(f"{by_kind[kind]:8.1%}" for kind in KINDS)
        print(f"  {channel:<8}{cells}")
    print(f"\nMRR of BM25 (chance {chance_mrr(len(videos)):.3f})")
    print(f"  query > subtitles{'':<3}" + "".join(f"{kind:>8}" for kind in KINDS))
    pairs = dict.fromkeys((query, text) for _, query, text in matching)
    for query, text in pairs:
        cells = "".join(f"{matching[kind, query, text]:8.3f}" for kind in KINDS)
        print(f"  {query} > {text:<13}{cells}")


if __name__ == "__main__":
    sys.exit(main())
