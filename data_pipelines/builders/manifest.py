"""`corpus.json`: what a built dataset consists of, so that no half of it passes."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.builders.raw import RawCorpus
from data_pipelines.builders.shards import Shard, sha256
from data_pipelines.files import write_whole
from data_pipelines.readers.errors import found, wrong
from data_pipelines.readers.fields import read_json
from data_pipelines.schema import SCHEMA_VERSION

NAME = "corpus.json"
ALWAYS = ("videos", "queries", "parallel")
NUMBERS = "video_numbers.json"
"""What benchmarks call the videos; only where a release says so."""
KINDS = (*ALWAYS, "questions", "statements", "captions", "tokens", "features")
"""What records may be of; those that are not always there only where there are any."""
VERSION = f"{SCHEMA_VERSION}.0.0"
"""The TFDS version of everything that this program writes."""
REMEDY = "build the dataset again"


@dataclasses.dataclass(frozen=True)
class File:
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Split:
    """Counts of one split, and one digest of its record files."""

    num_videos: int
    num_queries: int
    num_parallel: int
    digest: str
    num_questions: int = 0
    num_statements: int = 0
    num_captions: int = 0
    """Captioned moments."""
    num_tokens: int = 0
    """Records whose token ids are kept."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """A built dataset; file names are relative to its folder."""

    name: str
    languages: tuple[str, ...]
    interval: float
    feature_width: int
    feature_dtype: str | None
    source: str
    """Digest of the raw records that it was built from."""
    splits: Mapping[str, Split]
    files: Mapping[str, File]
    special_tokens: Mapping[str, int] = dataclasses.field(default_factory=dict)


def stored_split(split: str) -> str:
    """The name of a split in TFDS, where `all` means the union of the others."""
    return "whole" if split == "all" else split


def kinds_of(raw: RawCorpus) -> tuple[str, ...]:
    """The kinds of records that the dataset is written with."""
    there = {
        kind
        for split in raw.splits.values()
        for kind in ("questions", "statements", "captions", "tokens")
        if getattr(split, kind)
    }
    there |= {"features"} if raw.feature_dtype else set()
    return tuple(kind for kind in KINDS if kind in ALWAYS or kind in there)


def is_of_split(file: str, split: str) -> bool:
    return f"-{stored_split(split)}.array_record-" in file


def make_manifest(root: Path, raw: RawCorpus, shards: Iterable[Shard]) -> Manifest:
    """The manifest of what stands in `root`; digests of shards are taken as given."""
    known = {"/".join(shard.path.parts[-3:]): shard.sha256 for shard in shards}
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    files = {
        path.relative_to(root).as_posix(): File(
            path.stat().st_size,
            known.get("/".join(path.parts[-3:])) or sha256(path),
        )
        for path in paths
    }
    return Manifest(
        name=raw.name,
        languages=raw.languages,
        interval=raw.interval,
        feature_width=raw.feature_width,
        feature_dtype=raw.feature_dtype,
        source=raw.digest(),
        splits={
            name: Split(
                num_videos=len(split.videos),
                num_queries=len(split.queries),
                num_parallel=len(split.parallel),
                digest=_digest(files, name),
                num_questions=len(split.questions),
                num_statements=len(split.statements),
                num_captions=len(split.captions),
                num_tokens=len(split.tokens),
            )
            for name, split in raw.splits.items()
        },
        files=files,
        special_tokens=raw.special_tokens,
    )


def _digest(files: Mapping[str, File], split: str) -> str:
    shards = [f"{n} {f.sha256}" for n, f in files.items() if is_of_split(n, split)]
    return hashlib.sha256("\n".join(shards).encode()).hexdigest()


def write_manifest(root: Path, manifest: Manifest) -> None:
    values = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(manifest)}
    values["sha256"] = _sha256_of(values)
    write_whole(root / NAME, json.dumps(values, indent=1))


def read_manifest(root: Path) -> Manifest:
    """The manifest of a built dataset; one damaged or of another schema is refused."""
    row = read_json(root / NAME)
    version = row.value("schema_version")
    if version != SCHEMA_VERSION:
        problem = f"found {found(version)}, this program reads {SCHEMA_VERSION}"
        raise row.wrong("schema_version", problem, REMEDY)
    values = {k: v for k, v in row.values.items() if k != "sha256"}
    if row.value("sha256") != _sha256_of(values):
        raise row.wrong("", "was changed after it was built", REMEDY)
    del values["schema_version"]
    values["languages"] = tuple(values["languages"])
    values["splits"] = {k: Split(**v) for k, v in values["splits"].items()}
    values["files"] = {k: File(**v) for k, v in values["files"].items()}
    return Manifest(**values)


def write_numbers(root: Path, raw: RawCorpus) -> None:
    """The numbers of the videos of each split, if any are known."""
    there = {k: split.video_numbers for k, split in raw.splits.items()}
    if numbers := {split: dict(found) for split, found in there.items() if found}:
        write_whole(root / NUMBERS, json.dumps(numbers))


def read_numbers(root: Path, manifest: Manifest, split: str) -> dict[str, int]:
    """Video -> number; empty in datasets that were built without a table."""
    if NUMBERS not in manifest.files:
        return {}
    return read_json(root / NUMBERS).values.get(split, {})


def _sha256_of(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def check_sizes(root: Path, manifest: Manifest) -> None:
    """Every file of the dataset is there and as long as it was when it was built."""
    for name, file in manifest.files.items():
        path = root / name
        if not path.is_file():
            raise wrong(path, "", "is missing from the dataset", REMEDY)
        if (size := path.stat().st_size) != file.size:
            problem = f"has {size} bytes, was built with {file.size}"
            raise wrong(path, "", problem, REMEDY)


def check_contents(root: Path, manifest: Manifest, names: Sequence[str]) -> None:
    """The named files hold what they held when they were built."""
    for name in names:
        if sha256(root / name) != manifest.files[name].sha256:
            raise wrong(root / name, "", "was changed after it was built", REMEDY)


def find_split(root: Path, manifest: Manifest, split: str) -> str:
    """The name of a split; How2R's databases have val_1k and no val."""
    for name in (split, f"{split}_1k"):
        if name in manifest.splits:
            return name
    known = ", ".join(manifest.splits)
    problem = f"{found(split)} is not in it, expected one of {known}"
    raise wrong(root, "splits", problem, "add it to the data and build again")
