"""Builds a dataset from a raw release: `python -m data_pipelines.build --help`.

A dataset appears whole or not at all. It is written beside its place and renamed; what
a killed build had finished is taken up by the next one.
"""

import contextlib
import dataclasses
import fcntl
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipelines.command import Parser, answer, checked_interval, checked_workers
from data_pipelines.readers.errors import BusyError, InputError, in_words, wrong

if TYPE_CHECKING:
    from data_pipelines.builders.base import CorpusBuilder
    from data_pipelines.builders.manifest import Manifest, Split
    from data_pipelines.builders.raw import RawCorpus, Request

DATASETS = (
    "microtv", "mtvr", "mtvr_split", "mtvr_loo", "mtvr_loo_synthetic", "mtvr_tvc",
    "mtvr_loo_translated", "mtvr_loo_translated_bare", "youcook2_loo", "vatex_loo",
    "tvqa", "how2qa", "vlep", "violin", "tvc", "yc2c", "vatex_en_c",
    "tvr", "how2r", "didemo", "msrvtt", "yc2r", "vatex_en_r",
)  # fmt: skip
IN_FOLDS = (
    "mtvr_loo", "mtvr_loo_synthetic", "mtvr_loo_translated", "mtvr_loo_translated_bare",
    "mtvr_tvc", "youcook2_loo", "vatex_loo",
)  # fmt: skip
"""Datasets of which `--fold` names a fifth."""
SYNTHETIC = ("mtvr_loo_synthetic",)
"""Datasets whose name says that their features are made."""


@dataclasses.dataclass(frozen=True)
class Built:
    """What a build made, or found made already."""

    dataset: str
    """The name to open it by: the dataset's, with the fold where it has folds."""
    manifest: "Manifest"
    is_new: bool
    seconds: float
    warnings: Sequence[str]

    def __str__(self) -> str:
        zeros = "" if self.manifest.feature_dtype else " (zeros: no features given)"
        verb = "built" if self.is_new else "up to date, checked"
        splits = [
            f"  {name}: {split.num_videos} videos, {split.num_queries} queries"
            + "".join(f", {count} {what}" for what, count in _others(split) if count)
            for name, split in self.manifest.splits.items()
        ]
        last = f"  features {self.manifest.feature_width} wide{zeros}"
        head = f"{self.dataset}: {verb} in {self.seconds:.1f} s"
        return "\n".join([head, *splits, last])


def _others(split: "Split") -> list[tuple[str, int]]:
    return [
        ("parallel texts", split.num_parallel),
        ("questions", split.num_questions),
        ("statements", split.num_statements),
        ("captioned moments", split.num_captions),
    ]


def build_dataset(
    dataset: str,
    *,
    data_dir: str | Path,
    out: str | Path,
    features: str | Path | None = None,
    interval: float = 1.5,
    workers: int = 1,
    fold: int = 0,
    allow_missing: bool = False,
    is_replacing: bool = True,
) -> Built:
    """Builds into `out` unless the same dataset stands there; see `Request`.

    Raises InputError where the release is at fault, or where a dataset of other records
    stands there and `is_replacing` is false; BusyError where another process builds
    the same dataset.
    """
    from data_pipelines.builders.raw import Request
    from data_pipelines.synthetic import is_synthetic

    name = f"{dataset}_fold{fold}" if dataset in IN_FOLDS else dataset
    request = Request(
        data_dir=Path(data_dir),
        features=None if features is None else Path(features),
        interval=interval,
        workers=workers,
        fold=fold,
        allow_missing=allow_missing,
        cache=Path(out) / f".{name}.features",
    )
    if is_synthetic(request.features) and dataset not in SYNTHETIC:
        oddity = f"synthetic features, which only {SYNTHETIC[0]} is named after"
        request.tally.add(oddity, request.features)
    return build_with(_builder_of(dataset), request, Path(out), name, is_replacing)


def build_with(
    builder: "type[CorpusBuilder]",
    request: "Request",
    out: Path,
    name: str,
    is_replacing: bool = True,
) -> Built:
    """What `build_dataset` does, for a builder that it does not know by name."""
    begin = time.monotonic()
    _check(request)
    with in_words(out), _only_builder(out, name):
        manifest, is_new = _build(builder, request, out, name, is_replacing)
    seconds = time.monotonic() - begin
    return Built(name, manifest, is_new, seconds, request.tally.lines())


def _check(request: "Request") -> None:
    for option, folder in (
        ("data_dir", request.data_dir),
        ("features", request.features),
    ):
        if folder is not None and not folder.is_dir():
            raise wrong(folder, f"--{option}", "is not a directory")
    checked_interval(request.interval)
    checked_workers(request.workers)
    if request.fold not in range(5):
        raise InputError(f"--fold: found {request.fold}, expected 0, 1, 2, 3 or 4")


def _builder_of(dataset: str) -> "type[CorpusBuilder]":
    """Imported here, so that `--help` need not wait for TFDS."""
    from data_pipelines.builders import (
        judged,
        microtv,
        mtvr,
        mtvr_loo,
        mtvr_split,
        mtvr_tvc,
        retrieved,
        vatex_loo,
        youcook2_loo,
    )

    return {
        "microtv": microtv.MicroTv,
        "mtvr": mtvr.Mtvr,
        "mtvr_split": mtvr_split.MtvrSplit,
        "mtvr_loo": mtvr_loo.MtvrLoo,
        "mtvr_loo_synthetic": mtvr_loo.MtvrLooSynthetic,
        "mtvr_loo_translated": mtvr_loo.MtvrLooTranslated,
        "mtvr_loo_translated_bare": mtvr_loo.MtvrLooTranslatedBare,
        "mtvr_tvc": mtvr_tvc.MtvrTvc,
        "youcook2_loo": youcook2_loo.YouCook2Loo,
        "vatex_loo": vatex_loo.VatexLoo,
        "tvqa": judged.Tvqa,
        "how2qa": judged.How2Qa,
        "vlep": judged.Vlep,
        "violin": judged.Violin,
        "tvc": judged.Tvc,
        "yc2c": judged.Yc2c,
        "vatex_en_c": judged.VatexEnC,
        "tvr": retrieved.Tvr,
        "how2r": retrieved.How2R,
        "didemo": retrieved.Didemo,
        "msrvtt": retrieved.Msrvtt,
        "yc2r": retrieved.Yc2r,
        "vatex_en_r": retrieved.VatexEnR,
    }[dataset]


def _build(
    builder: "type[CorpusBuilder]",
    request: "Request",
    out: Path,
    name: str,
    is_replacing: bool,
) -> "tuple[Manifest, bool]":
    from data_pipelines.builders.base import write_corpus

    final, stage, previous = out / name, out / f".{name}.building", _previous(out, name)
    _recover(final, previous)
    raw = _without_empty_splits(builder.read(request), request)
    if manifest := _standing(final, raw):
        return manifest, False
    _prepare_stage(stage, raw)
    manifest = write_corpus(builder, raw, stage=stage, workers=request.workers)
    if not is_replacing:
        _check_same(final, manifest)
    _publish(stage / name, final, previous)
    shutil.rmtree(stage)
    return manifest, True


def _without_empty_splits(raw: "RawCorpus", request: "Request") -> "RawCorpus":
    """Nothing is learnt from, or found in, a split without a video: it is refused.

    Where `allow_missing` has dropped all its videos, the split goes with them.
    """
    kept = {name: split for name, split in raw.splits.items() if split.videos}
    for name in sorted(raw.splits.keys() - kept.keys()):
        if not (request.allow_missing and kept):
            problem = "holds no video, expected at least one"
            remedy = "add videos (and their --features), or remove the split"
            raise wrong(request.data_dir, f"split {name}", problem, remedy)
        request.tally.add("splits without a video, dropped", name)
    return dataclasses.replace(raw, splits=kept)


def _previous(out: Path, name: str) -> Path:
    return out / f".{name}.previous"


def _standing(final: Path, raw: "RawCorpus") -> "Manifest | None":
    """The dataset that stands there, if it is whole and made from the same records."""
    from data_pipelines.builders import manifest as manifests

    try:
        manifest = manifests.read_manifest(final)
        manifests.check_sizes(final, manifest)
    except InputError:
        return None
    return manifest if manifest.source == raw.digest() else None


def _check_same(final: Path, new: "Manifest") -> None:
    """What stands there may be damaged, or of other dates, but not of other records."""
    from data_pipelines.builders import manifest as manifests

    try:
        old = manifests.read_manifest(final)
    except InputError:
        return
    if old.splits != new.splits:
        problem = f"was built from other data, of {_counts(old)}, found {_counts(new)}"
        raise wrong(final, "", problem, "choose another folder for this data")


def _counts(manifest: "Manifest") -> str:
    counts = [f"{s.num_videos} {name}" for name, s in manifest.splits.items()]
    return " + ".join(counts) + " videos"


def _prepare_stage(stage: Path, raw: "RawCorpus") -> None:
    """Keeps the finished files of a killed build of the same records, nothing else."""
    from data_pipelines.files import TEMPORARY, write_whole

    plan = stage / "source.sha256"
    if not plan.exists() or plan.read_text() != raw.digest():
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        write_whole(plan, raw.digest())
    for leftover in [*stage.rglob("incomplete.*"), *stage.rglob(f"*{TEMPORARY}")]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def _publish(new: Path, final: Path, previous: Path) -> None:
    """Two renames; between them nothing stands, and `_recover` brings the old back."""
    if final.exists():
        final.replace(previous)
    new.replace(final)
    shutil.rmtree(previous, ignore_errors=True)


def _recover(final: Path, previous: Path) -> None:
    if previous.exists() and not final.exists():
        previous.replace(final)
    shutil.rmtree(previous, ignore_errors=True)


@contextlib.contextmanager
def _only_builder(out: Path, name: str) -> Iterator[None]:
    """Holds the dataset's lock; the system lets go of it when the process ends."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / f".{name}.lock").open("a+")
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
        raise wrong(out, "--out", problem, "name another folder") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another process"
            problem = f"{holder} builds {name} here"
            raise BusyError(f"{out}: {problem} (wait for it to end)") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, 2 for bad input, 75 while another process builds the same."""
    return answer(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> None:
    built = build_dataset(**vars(_parser().parse_args(arguments)))
    for warning in built.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(built)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m data_pipelines.build",
        description="Builds a dataset (record files that open by random access) from a "
        "raw release. The same command takes up a killed build where it stopped.",
    )
    parser.add_argument("dataset", choices=DATASETS, help="what --data_dir holds")
    parser.add_argument("--data_dir", required=True, help="the raw release")
    parser.add_argument("--out", required=True, help="where datasets are built")
    parser.add_argument(
        "--features",
        help="folder of <video_id>.npz files, key `features`, [frames, width]; without "
        "it microtv extracts them from its videos, the others have frames of zeros",
    )
    parser.add_argument(
        "--interval", type=float, default=1.5, help="seconds between frames (1.5)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that extract and write (1)"
    )
    parser.add_argument(
        "--fold",
        type=int,
        default=0,
        help="datasets in folds: which one is tested, 0-4 (0)",
    )
    parser.add_argument(
        "--allow_missing",
        action="store_true",
        help="drop videos without features and queries of unknown videos, and say so",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
