"""What the retrieval benchmarks share: how a corpus is read, trained on and searched.

Each of them is a module of its own with its official recipe (D.8) as defaults. The run
itself, and most options, are those of `judging.py`.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from data_pipelines.files import write_whole
from experiments import judging
from hero_jax import report
from hero_jax.losses.ranking import VSM
from hero_jax.losses.span import SpanLoss
from hero_jax.metrics import predictions
from hero_jax.metrics.recall import CUTOFFS
from hero_jax.retrieval.spans import SpanRules
from hero_jax.tasks.encoder import NO_SUBTITLES
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.source import Channels, Source


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retrieving(judging.Judging):
    """The options of these experiments; the defaults are those of TVR (D.8)."""

    HAS_MOMENTS: ClassVar[bool] = True
    """Whether queries are about moments, or about whole videos."""

    channels: Channels = "both"
    """What is read of a video: frames and subtitles, or one of the two alone."""
    batch_size: int = 32
    """Queries, each with its video, in a batch of one reference GPU."""
    steps: int = 5_000
    """Updates."""
    warmup_steps: int = 500
    """Updates over which the learning rate rises."""
    learning_rate: float = 1e-4
    """The peak, after the warm-up."""
    head_multiplier: float = 1.0
    """Learning rate of the head relative to the encoder's; officially the same."""
    max_frames: int = 100
    """Longer videos are cut to so many frames."""
    context: int = 0
    """Earlier subtitles read with each one (official sub_ctx_len)."""
    ranking: VSM = VSM(hard_start_step=2_000)
    """Ranks videos; `reference_gpus` is that of the recipe."""
    span_rate: float = 0.2
    """Share of batches on which moments are learned (1 - drop_svmr_prob)."""
    rules: SpanRules = SpanRules(min_frames=2, max_frames=16, nms_threshold=0.5)
    """How moments are chosen when the corpus is searched."""
    is_same_language: bool = True
    """Read videos in the language of their query; else languages are drawn apart."""
    is_official: bool = False
    """Repeat what the official code does by accident: frames have one subtitle (B.2),
    a video is its own negative (H-7), 100 moments are suppressed, not 200 (H-2)."""
    video_indices: Path | None = None
    """The release's <dataset>_video2dur_idx.json, by whose numbers the benchmark knows
    videos; by default those that the dataset was built with, or, where it has none,
    videos are counted as the split has them."""

    def reading(self, source: Source) -> Source:
        return dataclasses.replace(
            source,
            channels=self.channels,
            max_frames=self.max_frames,
            max_query_tokens=source.row_length,  # evaluation cuts no query (B.9)
            is_official=self.is_official,
        )

    def check_corpus(self, source: Source) -> None:
        super().check_corpus(source)
        if self.video_indices is not None:
            self.task(source).video_numbers(self.split)

    def task(self, source: Source) -> MomentRetrieval:
        rules = dataclasses.replace(
            self.rules,
            truncates_before_nms=self.rules.truncates_before_nms or self.is_official,
        )
        return MomentRetrieval(
            source=source,
            video_indices=self.video_indices and self.video_indices.absolute(),
            batch_size=self.reference_gpus * self.batch_size,
            objective=dataclasses.replace(
                self.ranking, reference_gpus=self.reference_gpus
            ),
            span=SpanLoss() if self.HAS_MOMENTS else None,
            num_subtitle_queries=0,
            num_annotated_queries=1,
            is_by_query=True,
            context=self.context,
            span_rate=self.span_rate,
            is_same_language=self.is_same_language,
            rules=rules,
            is_official=self.is_official,
        )

    def table(self, results: judging.Results) -> Iterator[str]:
        yield report.tables({self.name: results})
        yield ""
        yield from benchmark_lines(results)

    def hand_in(self, run_dir: Path) -> list[Path]:
        """The answers in each language, to videos read in it, as VALUE wants them."""
        written = []
        for language, path in self.answers(run_dir / "predictions").items():
            content = json.loads(path.read_text("utf-8"))
            name = f"{self.dataset}_{self.split}_predictions_{language}.json"
            handed = json.dumps(predictions.handed_in(content))
            write_whole(self.run_dir / name, handed)
            written.append(self.run_dir / name)
        return written

    def answers(self, folder: Path) -> dict[str, Path]:
        """Language -> its answers to videos read in it, or read without subtitles."""
        found: dict[str, Path] = {}
        for path in sorted(folder.glob("*-*.json")):
            language, reading = path.stem.split("-", 1)
            is_own = reading == language and self.channels != "video"
            if is_own or (reading == NO_SUBTITLES and language not in found):
                found[language] = path
        return found


def benchmark_lines(results: judging.Results) -> Iterator[str]:
    """Recalls of queries in the language of the videos, or where they have none."""
    titles = "".join(f"{f'R@{k}':>7}" for k in CUTOFFS)
    yield f"{'queries':>8} {'subtitles':>9} {'':10}{titles}   AveR"
    for language, row in results.items():
        for reading, cell in row.items():
            if reading in (language, NO_SUBTITLES):
                for title, recalls in _measured(cell):
                    shown = "".join(f"{recalls[f'R@{k}']:7.2f}" for k in CUTOFFS)
                    mean = sum(recalls[f"R@{k}"] for k in (1, 5, 10)) / 3
                    yield f"{language:>8} {reading:>9} {title:10}{shown}{mean:7.2f}"


def _measured(cell: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Titles and recalls of what was answered; nothing where the truth is hidden."""
    if cell["VR"]:
        yield "VR", cell["VR"]
    for task in ("SVMR", "VCMR"):
        for threshold, recalls in (cell[task] or {}).items():
            yield f"{task} {threshold}", recalls
