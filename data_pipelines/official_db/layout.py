"""Finds official databases in a folder, and which of them belong together (E.1).

    txt_db/tv_subtitles.db     what is said in the videos of a corpus
    txt_db/tvr_val.db          a split of a dataset: what is asked about them
    txt_db/tvc_val.db/clip.db  its captions, in two databases
    txt_db/pretrain_splits/tv_train.json
    txt_db/yc2c_val_release.jsonl  which videos are described, under which ids
    video_db/tv/resnet_slowfast_1.5[_compressed]

Any folders may hold them, and the interval may be spelt 2, 2.0 or 1.5 (H-31).
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_pipelines.readers import lmdb
from data_pipelines.readers.errors import InputError, found, wrong

MAX_LEVELS = 4
"""Folders between the one given and a database."""
VIDEO = re.compile(r"(?P<version>.+?)_(?P<interval>\d+(\.\d+)?)(_compressed)?")
SUBTITLES = re.compile(r"(?P<corpus>.+)_subtitles\.db")
SPLIT = re.compile(r"(?P<dataset>.+?)_(?P<split>(train|val|dev|test)(_[a-z0-9]+)*)\.db")
CORPUS_OF = {
    "tvr": "tv", "tvqa": "tv", "tvc": "tv",
    "how2r": "how2", "how2qa": "how2",
    "vatex_en_r": "vatex", "vatex_en_c": "vatex",
    "yc2r": "yc2", "yc2c": "yc2",
}  # fmt: skip
"""Where a dataset's videos are kept; the others keep their own."""
CAPTIONS = re.compile(r"(?P<dataset>yc2c|vatex_en_c)_(?P<split>.+?)_release\.jsonl")
DEFAULT_VERSION = "resnet_slowfast"


@dataclasses.dataclass(frozen=True, order=True)
class VideoDb:
    """A database of frame features: which, and seconds between frames."""

    version: str
    interval: float
    is_compressed: bool
    path: Path

    @property
    def corpus(self) -> str:
        return self.path.parent.name


@dataclasses.dataclass(frozen=True)
class Layout:
    """The databases of a folder."""

    root: Path
    splits: Mapping[str, Mapping[str, Path]]
    """Dataset -> split -> database."""
    subtitles: Mapping[str, Path]
    """Corpus -> database."""
    videos: tuple[VideoDb, ...]
    pretraining: Mapping[str, Mapping[str, Path]]
    """Corpus -> split -> list of its videos."""
    captions: Mapping[str, Mapping[str, Path]]
    """Dataset -> split -> lines of captions, which have no database of their own."""

    def datasets(self) -> list[str]:
        """What can be converted: all datasets, and corpora that bear no such name."""
        return sorted({*self.splits, *self.subtitles})

    def video_db(self, corpus: str, version: str | None) -> VideoDb | None:
        """The features of a corpus, uncompressed where there is a choice."""
        there = [db for db in self.videos if db.corpus == corpus]
        versions = sorted({db.version for db in there})
        if version is None and len(versions) > 1:
            version = DEFAULT_VERSION
        chosen = [db for db in there if version in (None, db.version)]
        if there and not chosen:
            problem = f"found {version!r}, expected one of {', '.join(versions)}"
            raise InputError(f"--features of {corpus}: {problem}")
        return min(chosen, key=lambda db: (db.is_compressed, db.interval), default=None)


def find(root: Path) -> Layout:
    """All databases below `root`; an InputError where there are none."""
    if not root.is_dir():
        raise wrong(root, "", "is not a directory", "name the folder of the databases")
    splits: dict[str, dict[str, Path]] = {}
    subtitles: dict[str, Path] = {}
    videos = []
    for path in _databases(root):
        if match := SUBTITLES.fullmatch(path.name):
            _put(subtitles, match["corpus"], path)
        elif match := SPLIT.fullmatch(path.name):
            _put(splits.setdefault(match["dataset"], {}), match["split"], path)
        elif match := VIDEO.fullmatch(path.name):
            is_compressed = path.name.endswith("_compressed")
            interval = float(match["interval"])
            videos.append(VideoDb(match["version"], interval, is_compressed, path))
    if not splits and not subtitles:
        problem = "found no text database such as tvr_val.db/data.mdb"
        raise wrong(root, "", problem, "name the folder that holds txt_db and video_db")
    lists, captions = _pretraining(root), _captions(root)
    return Layout(root, splits, subtitles, tuple(sorted(videos)), lists, captions)


def _databases(root: Path) -> Iterator[Path]:
    """Folders of databases; the two halves of a caption database count as one."""
    folders = [
        file.parent
        for level in range(MAX_LEVELS + 1)
        for file in root.glob("*/" * level + lmdb.FILE)
    ]
    is_half = lambda path: path.name in ("cap.db", "clip.db")
    yield from sorted({path.parent if is_half(path) else path for path in folders})


def _put(table: dict[str, Path], name: str, path: Path) -> None:
    if name in table:
        problem = f"is a second {path.name} beside {found(str(table[name]))}"
        raise wrong(path, "", problem, "convert them one after the other")
    table[name] = path


def _captions(root: Path) -> dict[str, dict[str, Path]]:
    found: dict[str, dict[str, Path]] = {}
    for level in range(MAX_LEVELS):
        for file in sorted(root.glob("*/" * level + "*_release.jsonl")):
            if match := CAPTIONS.fullmatch(file.name):
                _put(found.setdefault(match["dataset"], {}), match["split"], file)
    return found


def _pretraining(root: Path) -> dict[str, dict[str, Path]]:
    splits: dict[str, dict[str, Path]] = {}
    for level in range(MAX_LEVELS):
        for file in sorted(root.glob("*/" * level + "pretrain_splits/*.json")):
            if match := SPLIT.fullmatch(f"{file.stem}.db"):
                splits.setdefault(match["dataset"], {})[match["split"]] = file
    return splits
