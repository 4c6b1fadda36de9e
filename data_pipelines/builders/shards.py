"""Record files: each written whole or not at all, by several processes at once."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from array_record.python.array_record_module import ArrayRecordWriter
from tqdm import tqdm

from data_pipelines.builders import records
from data_pipelines.files import TEMPORARY, make_durable, write_whole
from data_pipelines.readers.errors import BusyError
from data_pipelines.readers.features import read_features
from data_pipelines.workers import spread

WRITER = "group_size:1,uncompressed"
"""One record a group: random access. Compression would cost eight times the CPU."""
FILES_PER_WORKER = 4
"""With less to write, starting a worker costs more than it saves."""
REMEDY = "see to it and start again: what is finished is kept"
DONE = ".done"


@dataclasses.dataclass(frozen=True)
class Job:
    """One file to write: records of a kind, or the feature files of `kind` features."""

    path: Path
    kind: str
    items: Sequence[Any]

    @property
    def receipt(self) -> Path:
        """Beside a finished file: its size and sha256, written after it."""
        return self.path.with_name(self.path.name + DONE)


@dataclasses.dataclass(frozen=True)
class Shard:
    """A finished file."""

    path: Path
    num_records: int
    size: int
    sha256: str


def write_shards(jobs: Sequence[Job], workers: int) -> list[Shard]:
    """Writes what is not there yet, in up to `workers` processes; order of `jobs`."""
    pending = [job for job in jobs if finished(job) is None]
    workers = min(workers, len(pending) // FILES_PER_WORKER)
    progress = tqdm(total=len(pending), unit="file", disable=None)
    with progress:
        for _ in spread(write_shard, pending, workers):
            progress.update()
    return [shard for job in jobs if (shard := finished(job))]


def write_shard(job: Job) -> None:
    """Writes one file under another name, makes it durable and renames it."""
    job.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = job.path.with_name(f"{job.path.name}.{os.getpid()}{TEMPORARY}")
    try:
        _write(job, temporary)
        make_durable(temporary)
        receipt = {"size": temporary.stat().st_size, "sha256": sha256(temporary)}
        temporary.replace(job.path)
        write_whole(job.receipt, json.dumps(receipt))
    finally:
        temporary.unlink(missing_ok=True)


def _write(job: Job, path: Path) -> None:
    writer = ArrayRecordWriter(str(path), WRITER)
    try:
        for item in job.items:
            writer.write(_encoded(job.kind, item))
        writer.close()
    # What ArrayRecord raises when the disk is full or read-only.
    except RuntimeError as error:
        reason = str(error).split(";")[0]
        raise BusyError(f"{job.path}: {reason} ({REMEDY})") from None


def _encoded(kind: str, item: Any) -> bytes:
    if kind == "features":
        frames = read_features(item) if isinstance(item, Path) else item.read()
        return records.encode_frames(frames)
    return records.encode(kind, item)


def finished(job: Job) -> Shard | None:
    """The shard of an earlier run, if it is there and as long as it was."""
    if not job.receipt.exists() or not job.path.exists():
        return None
    receipt = json.loads(job.receipt.read_text())
    if job.path.stat().st_size != receipt["size"]:
        return None
    return Shard(job.path, len(job.items), receipt["size"], receipt["sha256"])


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
