"""The TFDS builder that all datasets share: configs of records, joined by index.

    OUT/<dataset>/corpus.json
    OUT/<dataset>/video_numbers.json  split -> video -> its number, where a table says
    OUT/<dataset>/videos/1.0.0/     one record a video, without its frames
    OUT/<dataset>/features/1.0.0/   record i: the frames of video i, uncompressed
    OUT/<dataset>/queries/1.0.0/    what is searched for
    OUT/<dataset>/parallel/1.0.0/   translations that belong to no video
    OUT/<dataset>/questions/1.0.0/  and statements, captions: where a release has any

Text and frames are apart because one is read whole and the other at random.
"""

import abc
import contextlib
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.builders import records
from data_pipelines.builders.manifest import (
    KINDS,
    VERSION,
    Manifest,
    kinds_of,
    make_manifest,
    stored_split,
    write_manifest,
    write_numbers,
)
from data_pipelines.builders.raw import RawCorpus, RawSplit, Request
from data_pipelines.builders.shards import Job, Shard, write_shards

T = TypeVar("T")

TEXT_RECORDS = 20_000
"""Records of one text file."""
FEATURE_BYTES = 1 << 26
"""Bytes of one feature file: enough files to write in parallel, well below 256 MB."""


class LocalInfo(tfds.core.DatasetInfo):
    """What a dataset is, by its own files alone."""

    def initialize_from_bucket(self) -> None:
        """No look into TFDS's bucket, which leaves an empty temporary folder behind."""


class CorpusBuilder(
    tfds.core.DatasetBuilder,
    skip_registration=True,  # type: ignore[call-arg]
):
    """One config (one kind of record) of a dataset; `read` knows the raw release."""

    VERSION = tfds.core.Version(VERSION)
    BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=kind) for kind in KINDS]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Not registered: a builder of ours needs records that `read` has checked."""
        super().__init_subclass__(skip_registration=True, **kwargs)  # type: ignore[call-arg]

    def __init__(self, raw: RawCorpus, *, config: str, stage: Path, workers: int):
        self.name = raw.name
        self.raw = raw
        self.workers = workers
        self.parts = stage / "parts" / config / VERSION
        self.shards: list[Shard] = []
        super().__init__(data_dir=stage, config=config)

    @classmethod
    @abc.abstractmethod
    def read(cls, request: Request) -> RawCorpus:
        """The checked records of a raw release."""

    def _info(self) -> tfds.core.DatasetInfo:
        return LocalInfo(builder=self, features=self._layout())

    def _layout(self) -> tfds.features.FeaturesDict:
        kind = self.builder_config.name
        if kind == "features":
            assert self.raw.feature_dtype is not None
            width, dtype = self.raw.feature_width, self.raw.feature_dtype
            return records.frame_features(width, dtype)
        return records.features_of(kind)

    def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> None:
        """Finishes the files in `parts`, which outlive a killed build; moves them."""
        jobs = {name: self._jobs(name) for name in self.raw.splits}
        self.shards = write_shards(list(itertools.chain(*jobs.values())), self.workers)
        for shard in self.shards:
            shard.path.replace(self.data_path / shard.path.name)
        infos = [self._split_info(name, ones) for name, ones in jobs.items()]
        self.info.set_splits(tfds.core.splits.SplitDict(infos))

    def _jobs(self, split: str) -> list[Job]:
        kind = self.builder_config.name
        groups = list(_groups(self.raw.splits[split], kind, self.raw))
        template = self._template(split)
        paths = (
            template.sharded_filepath(shard_index=i, num_shards=len(groups))
            for i in range(len(groups))
        )
        return [
            Job(self.parts / path.name, kind, group)
            for path, group in zip(paths, groups, strict=True)
        ]

    def _split_info(self, split: str, jobs: Sequence[Job]) -> tfds.core.SplitInfo:
        names = {job.path for job in jobs}
        return tfds.core.SplitInfo(
            name=stored_split(split),
            shard_lengths=[len(job.items) for job in jobs],
            num_bytes=sum(shard.size for shard in self.shards if shard.path in names),
            filename_template=self._template(split),
        )

    def _template(self, split: str) -> tfds.core.ShardedFileTemplate:
        return tfds.core.ShardedFileTemplate(
            data_dir=self.data_path,
            dataset_name=self.name,
            split=stored_split(split),
            filetype_suffix="array_record",
        )

    def _as_dataset(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("record files are read with as_data_source")


def _groups(split: RawSplit, kind: str, raw: RawCorpus) -> Iterator[Sequence[Any]]:
    """The records of a split cut into files, in order."""
    if kind != "features":
        items = getattr(split, kind)
        for start in range(0, len(items), TEXT_RECORDS):
            yield items[start : start + TEXT_RECORDS]
        return
    frame_bytes = raw.feature_width * np.dtype(raw.feature_dtype).itemsize
    sizes = (video.num_frames * frame_bytes for video in split.videos)
    yield from _groups_by_size(zip(split.feature_files, sizes))


def _groups_by_size(files: Iterable[tuple[T, int]]) -> Iterator[Sequence[T]]:
    group: list[T] = []
    total = 0
    for file, size in files:
        if group and total + size > FEATURE_BYTES:
            yield group
            group, total = [], 0
        group.append(file)
        total += size
    if group:
        yield group


def write_corpus(
    builder: type[CorpusBuilder], raw: RawCorpus, *, stage: Path, workers: int
) -> Manifest:
    """Writes the dataset to `stage/<name>`; what an earlier run finished is kept."""
    shards: list[Shard] = []
    for kind in kinds_of(raw):
        one = builder(raw, config=kind, stage=stage, workers=workers)
        # TFDS reports on stdout, in words about downloads.
        with contextlib.redirect_stdout(io.StringIO()):
            one.download_and_prepare(file_format="array_record")
        shards += one.shards
    root = stage / raw.name
    write_numbers(root, raw)
    manifest = make_manifest(root, raw, shards)
    write_manifest(root, manifest)
    return manifest
