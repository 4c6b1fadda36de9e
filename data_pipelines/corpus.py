"""Opens a built dataset: text in memory, frames by random access when asked for."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines import joined
from data_pipelines.builders import manifest as manifests
from data_pipelines.builders import records
from data_pipelines.builders.manifest import Manifest
from data_pipelines.readers.errors import found, wrong
from data_pipelines.schema import SCHEMA_VERSION, Corpus


def open_corpus(directory: str | Path, dataset: str, split: str) -> Corpus:
    """One split of the dataset that `python -m data_pipelines.build` wrote, or several
    as one (`train+val`).

    Every file must be there with the size it was built with, and the text must be what
    it was; otherwise an InputError names the file. Frames are checked as they are read.
    """
    root, manifest = _open(directory, dataset)
    splits = _splits(root, manifest, split)
    manifests.check_sizes(root, manifest)
    corpora = [_open_split(root, manifest, one) for one in splits]
    return joined.join(corpora) if len(corpora) > 1 else corpora[0]


def _open_split(root: Path, manifest: Manifest, split: str) -> Corpus:
    manifests.check_contents(root, manifest, _read_at_once(manifest, split))
    counts = manifest.splits[split]
    videos = _records(root, "videos", split, counts.num_videos)
    return Corpus(
        name=manifest.name,
        split=split,
        languages=manifest.languages,
        videos=videos,
        queries=_records(root, "queries", split, counts.num_queries),
        features=_features(root, manifest, split, [v.num_frames for v in videos]),
        feature_width=manifest.feature_width,
        fingerprint=_fingerprint(manifest, split),
        parallel=_records(root, "parallel", split, counts.num_parallel),
        questions=_records(root, "questions", split, counts.num_questions),
        statements=_records(root, "statements", split, counts.num_statements),
        captions=_records(root, "captions", split, counts.num_captions),
        tokens=_records(root, "tokens", split, counts.num_tokens),
        video_numbers=manifests.read_numbers(root, manifest, split),
        special_tokens=manifest.special_tokens,
    )


def read_fingerprint(
    directory: str | Path, dataset: str, split: str
) -> tuple[dict[str, str | int], tuple[str, ...]]:
    """`Corpus.fingerprint` and `Corpus.languages`, from the manifest alone."""
    root, manifest = _open(directory, dataset)
    splits = _splits(root, manifest, split)
    found = [_fingerprint(manifest, one) for one in splits]
    whole = joined.join_fingerprints(found) if len(found) > 1 else found[0]
    return whole, manifest.languages


def read_manifest(directory: str | Path, dataset: str) -> Manifest:
    """What the dataset consists of; no record is read."""
    return _open(directory, dataset)[1]


def is_there(directory: str | Path, dataset: str) -> bool:
    return (Path(directory) / dataset / manifests.NAME).is_file()


def _open(directory: str | Path, dataset: str) -> tuple[Path, Manifest]:
    root = _find(Path(directory), dataset)
    return root, manifests.read_manifest(root)


def _splits(root: Path, manifest: Manifest, split: str) -> list[str]:
    """The splits that `train+val` names, each once."""
    names = dict.fromkeys(split.split(joined.SEPARATOR))
    return [manifests.find_split(root, manifest, name) for name in names]


def _find(directory: Path, dataset: str) -> Path:
    root = directory / dataset
    if not is_there(directory, dataset):
        names = sorted(
            path.parent.name for path in directory.glob(f"*/{manifests.NAME}")
        )
        there = ", ".join(names) or "none"
        problem = f"no dataset {found(dataset)} here, found {there}"
        remedy = "run python -m data_pipelines.build with this --out"
        raise wrong(directory, "", problem, remedy)
    return root


def _read_at_once(manifest: Manifest, split: str) -> list[str]:
    """The files that opening a split reads: metadata and the split's text."""
    return [
        name
        for name in manifest.files
        if name.endswith(".json")
        or (manifests.is_of_split(name, split) and not name.startswith("features/"))
    ]


def _fingerprint(manifest: Manifest, split: str) -> dict[str, str | int]:
    counts = dataclasses.asdict(manifest.splits[split])
    # Left out where there are none, so that older runs know their dataset again.
    for kind in ("questions", "statements", "captions", "tokens"):
        if not counts[f"num_{kind}"]:
            del counts[f"num_{kind}"]
    return {
        "dataset": manifest.name,
        "split": split,
        "schema_version": SCHEMA_VERSION,
        **counts,
    }


def _records(root: Path, kind: str, split: str, count: int) -> tuple[Any, ...]:
    if count == 0:
        return ()
    source = _source(root / kind / manifests.VERSION, split)
    if len(source) != count:
        problem = f"found {len(source)} {kind}, expected {count}"
        raise wrong(root / kind, "", problem, manifests.REMEDY)
    examples = source.__getitems__(range(count))
    return tuple(records.decode(kind, example) for example in examples)


def _source(directory: Path, split: str) -> Any:
    """The TFDS data source of one split of one config."""
    builder = tfds.builder_from_directory(str(directory))
    return builder.as_data_source(manifests.stored_split(split))


def _features(
    root: Path, manifest: Manifest, split: str, num_frames: Sequence[int]
) -> Sequence[np.ndarray]:
    if manifest.feature_dtype is None:
        return ZeroFeatures(tuple(num_frames), manifest.feature_width)
    return StoredFeatures(
        tuple(num_frames),
        manifest.feature_width,
        directory=root / "features" / manifests.VERSION,
        split=split,
        digest=manifest.splits[split].digest,
    )


@dataclasses.dataclass(frozen=True)
class ZeroFeatures(Sequence[np.ndarray]):
    """The frames of a corpus without features: as many as last its videos, all zero."""

    num_frames: tuple[int, ...]
    width: int

    def __len__(self) -> int:
        return len(self.num_frames)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | Sequence[np.ndarray]:
        if isinstance(index, slice):
            return [self._frames(i) for i in range(*index.indices(len(self)))]
        return self._frames(range(len(self))[index])

    def _frames(self, index: int) -> np.ndarray:
        return np.zeros((self.num_frames[index], self.width), np.float32)


@dataclasses.dataclass(frozen=True)
class StoredFeatures(ZeroFeatures):
    """Frames read from record files, as float32; pickles as a name, not as a handle."""

    directory: Path = dataclasses.field(kw_only=True)
    split: str = dataclasses.field(kw_only=True)
    digest: str = dataclasses.field(kw_only=True)

    def _frames(self, index: int) -> np.ndarray:
        source = _source_of_process(
            self.directory, self.split, self.digest, os.getpid()
        )
        try:
            example = source[index]
        # Record files are checksummed; what a damaged one raises differs by the damage.
        except (ValueError, RuntimeError, IndexError, KeyError, TypeError) as error:
            problem = f"record {index} of {self.split} is damaged: {error}"
            raise wrong(self.directory, "", problem, manifests.REMEDY) from None
        features = example["features"]
        expected = (self.num_frames[index], self.width)
        if features.shape != expected:
            problem = f"record {index} is {features.shape}, expected {expected}"
            raise wrong(self.directory, "", problem, manifests.REMEDY)
        return np.asarray(features, np.float32)


@functools.lru_cache(maxsize=8)
def _source_of_process(directory: Path, split: str, digest: str, process: int) -> Any:
    """Opened once in every process, and again when the dataset was built anew."""
    return _source(directory, split)
