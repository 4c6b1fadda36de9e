"""What a run tells while it trains: a line of JSON a step, a progress bar, curves."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hero_jax.errors import UserError


class MetricsLog:
    """`metrics.jsonl`: one object a line, each with its `step`, each step once.

    Lines after the step that a run resumes from belong to work that was lost; they are
    dropped, and written again when the work is done again.
    """

    def __init__(self, path: Path, *, resumed_step: int):
        kept = [line for line in read_lines(path) if line["step"] <= resumed_step]
        replacement = path.with_suffix(".tmp")
        replacement.write_text("".join(map(as_line, kept)))
        replacement.replace(path)
        self._file = path.open("a")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._file.write(as_line({"step": step} | dict(values)))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Curves:
    """The same numbers for TensorBoard."""

    def __init__(self, directory: Path, *, resumed_step: int):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise UserError(
                "tensorboard: tensorboardX is not installed; run "
                "`pip install 'hero-jax[tensorboard]'` or leave the option off"
            ) from None
        self._writer = SummaryWriter(str(directory), purge_step=resumed_step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class Progress:
    """A bar with loss, videos per second and time left; silent off a terminal."""

    def __init__(self, num_steps: int, *, start: int, name: str, is_shown: bool):
        self._bar = tqdm(
            total=num_steps,
            initial=start,
            desc=name,
            unit="step",
            disable=not (is_shown and sys.stderr.isatty()),
            bar_format="{desc} {percentage:3.0f}% |{bar}| {n}/{total} "
            "[{elapsed}<{remaining}{postfix}]",
        )

    def advance(self) -> None:
        self._bar.update()

    def show(self, loss: float, videos_per_second: float) -> None:
        self._bar.set_postfix_str(f"loss {loss:.3f}, {videos_per_second:.0f} videos/s")

    def close(self) -> None:
        self._bar.close()


class Speed:
    """Videos per second since the last question."""

    def __init__(self) -> None:
        self._start, self._num_videos = time.monotonic(), 0

    def count(self, num_videos: int) -> None:
        self._num_videos += num_videos

    def per_second(self) -> float:
        now = time.monotonic()
        rate = self._num_videos / max(now - self._start, 1e-9)
        self._start, self._num_videos = now, 0
        return rate


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a metrics file; a kill can leave half a line at its end."""
    if not path.exists():
        return []
    lines = path.read_text(errors="replace").splitlines()
    return [entry for line in lines if (entry := _parsed(line)) is not None]


def as_line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) and "step" in entry else None
