"""A corpus encoded once, in memory and on disk, ready to be searched."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from hero_jax.types import Array, Bool, Float, Int

FORMAT = 1
"""Written into every manifest; another one is refused."""
NORM_FLOOR = 1e-5
"""Vectors shorter than this are divided by it, so zeros stay zeros (A.6)."""
MANIFEST = "index.json"
NO_FRAMES = -1e4
"""Score of a video without frames; padding scores -inf, below every video."""


@runtime_checkable
class Score(Protocol):
    """How cosines with the frames of videos become one score; hashable."""

    def __call__(
        self, cosines: Float[Array, "*N F"], frame_mask: Bool[Array, "*N F"]
    ) -> Float[Array, "*N"]: ...


def best_frame(
    cosines: Float[Array, "*N F"], frame_mask: Bool[Array, "*N F"]
) -> Float[Array, "*N"]:
    """The score of HERO (A.6)."""
    return jnp.max(jnp.where(frame_mask, cosines, NO_FRAMES), axis=-1)


class IndexProblem(ValueError):
    """A saved index is not what the reader needs; one line says why."""

    exit_code = 2


@dataclasses.dataclass(frozen=True, eq=False)
class CorpusIndex:
    """Every frame of every video as the model sees it, padded to the longest video.

    One copy serves both stages: spans read the vectors as they are, video scores the
    cosine, which is the same product times `scale`.
    """

    video_ids: tuple[str, ...]
    frames: Float[np.ndarray, "N F D"]
    """Frame vectors, float32 or bfloat16; zeros after the end of a video."""
    frame_mask: Bool[np.ndarray, "N F"]
    scale: Float[np.ndarray, "N F"]
    """1 / length of each vector, float32."""
    intervals: Float[np.ndarray, "N"]
    """Seconds between the frames of each video."""
    fingerprint: str
    """Identifies the model, its step and how the videos were read."""
    score: Score = best_frame
    """What the model was trained to be searched by; not saved with the index."""

    def __len__(self) -> int:
        return len(self.video_ids)

    @property
    def num_frames(self) -> Int[np.ndarray, "N"]:
        """Frames each video has."""
        return np.sum(self.frame_mask, axis=1)


def build_index(
    video_ids: Sequence[str],
    frames: Sequence[np.ndarray],
    intervals: Sequence[float],
    *,
    fingerprint: str,
    dtype: Any = np.float32,
) -> CorpusIndex:
    """`frames[i]` is [num_frames, D], without padding, for `video_ids[i]`."""
    num_frames = np.array([len(vectors) for vectors in frames])
    longest, width = max(num_frames.max(), 1), frames[0].shape[1]
    mask = np.arange(longest) < num_frames[:, None]
    padded = np.zeros((len(frames), longest, width), dtype)
    for row, vectors in zip(padded, frames):
        row[: len(vectors)] = vectors
    seconds = np.asarray(intervals, np.float64)
    return _with_scale(tuple(video_ids), padded, mask, seconds, fingerprint)


def save_index(index: CorpusIndex, folder: Path) -> None:
    """Writes the folder as a whole or not at all, replacing what was there.

    The manifest holds a SHA-256 of every array file.
    """
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    arrays = {"frames": _as_bytes(index.frames), "frame_mask": index.frame_mask}
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array)
    manifest = {
        "format": FORMAT,
        "fingerprint": index.fingerprint,
        "dtype": index.frames.dtype.name,
        "video_ids": index.video_ids,
        "intervals": index.intervals.tolist(),
        "sha256": {name: _sha256(partial / f"{name}.npy") for name in arrays},
    }
    (partial / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def load_index(folder: Path, *, fingerprint: str | None = None) -> CorpusIndex:
    """The saved index, every byte checked; `fingerprint` must match where it is given.

    Raises IndexProblem if it is absent, damaged, of another format or another model's.
    """
    manifest = _read_manifest(folder)
    if fingerprint is not None and manifest["fingerprint"] != fingerprint:
        raise IndexProblem(
            f"{folder / MANIFEST}: fingerprint is {manifest['fingerprint']}, the model "
            f"has {fingerprint}: encode the corpus again"
        )
    arrays = {
        name: _read_array(folder, name, manifest["sha256"])
        for name in ("frames", "frame_mask")
    }
    frames = arrays["frames"].view(jnp.dtype(manifest["dtype"]))
    return _with_scale(
        tuple(manifest["video_ids"]),
        frames,
        arrays["frame_mask"],
        np.asarray(manifest["intervals"], np.float64),
        manifest["fingerprint"],
    )


def _with_scale(
    video_ids: tuple[str, ...],
    frames: Float[np.ndarray, "N F D"],
    frame_mask: Bool[np.ndarray, "N F"],
    intervals: Float[np.ndarray, "N"],
    fingerprint: str,
) -> CorpusIndex:
    scale = np.empty(frame_mask.shape, np.float32)
    for part in _blocks(len(frames)):
        lengths = np.linalg.norm(frames[part].astype(np.float32), axis=-1)
        scale[part] = 1 / np.maximum(lengths, NORM_FLOOR)
    return CorpusIndex(video_ids, frames, frame_mask, scale, intervals, fingerprint)


def _blocks(total: int, size: int = 1024) -> Iterator[slice]:
    return (slice(i, i + size) for i in range(0, total, size))


def _as_bytes(frames: np.ndarray) -> np.ndarray:
    """bfloat16 as its bits: .npy files cannot name it."""
    return frames.view(np.uint16) if frames.dtype.itemsize == 2 else frames


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise IndexProblem(f"{path}: not found: encode the corpus first") from None
    except ValueError as error:
        raise IndexProblem(
            f"{path}: not JSON ({error}): encode the corpus again"
        ) from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise IndexProblem(
            f"{path}: format is {found}, this version reads {FORMAT}: "
            "encode the corpus again"
        )
    return manifest


def _read_array(folder: Path, name: str, digests: Mapping[str, str]) -> np.ndarray:
    path = folder / f"{name}.npy"
    if not path.exists() or _sha256(path) != digests[name]:
        raise IndexProblem(
            f"{path}: its SHA-256 is not the one in {MANIFEST}: encode the corpus again"
        )
    return np.load(path, mmap_mode="r")
