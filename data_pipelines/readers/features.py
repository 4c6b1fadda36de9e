"""Frame features of one video: an .npz file whose `features` is [frames, width].

Nothing in such a file is trusted: no pickles, sizes are checked before memory is used.
"""

import contextlib
import dataclasses
import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from data_pipelines.readers.errors import InputError, found, wrong
from data_pipelines.readers.fields import opened
from data_pipelines.readers.lmdb import Entry

KEY = "features"
MEMBER = f"{KEY}.npy"
MAX_BYTES = 1 << 30
"""Bytes of one video's array."""
MAX_RATIO = 200
"""Times that a large array may be smaller in the file; beyond, it is a bomb."""
SMALL = 1 << 24
"""Bytes below which the ratio does not matter: zeros pack well."""

# What zipfile, zlib and numpy's header reader raise on bytes that are not theirs.
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError,
    SyntaxError, tokenize.TokenError, NotImplementedError, RuntimeError, OverflowError,
    MemoryError, IndexError, AttributeError, OSError,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Header:
    """Shape and type of an array, known without reading it."""

    num_frames: int
    width: int
    dtype: np.dtype

    @property
    def stored_dtype(self) -> np.dtype:
        """How the array is kept: float16 as it is, everything else as float32."""
        return np.dtype(np.float16 if self.dtype.itemsize == 2 else np.float32)


def read_header(path: Path | Entry, *, width: int | None = None) -> Header:
    """The array's header, checked; with `width` it must be so wide."""
    with _member(path) as (file, size):
        header, _ = _checked_header(file, size, path)
    if width is not None and header.width != width:
        problem = f"is {header.width} wide, expected {width} as in the other files"
        raise wrong(path, KEY, problem, "extract all videos with one extractor")
    return header


def read_features(path: Path | Entry, *, width: int | None = None) -> np.ndarray:
    """Finite float features [frames, width]: float16 as stored, else float32."""
    read_header(path, width=width)
    with _member(path) as (file, size):
        header, is_fortran = _checked_header(file, size, path)
        data = file.read()
    values = np.frombuffer(data, header.dtype)
    shape = (header.num_frames, header.width)
    values = values.reshape(shape, order="F" if is_fortran else "C")
    return finite(values, header.stored_dtype, path)


def finite(values: np.ndarray, dtype: np.dtype, path: object) -> np.ndarray:
    """The values as they are kept; an InputError names the first that is no number."""
    with np.errstate(over="ignore"):
        stored = values.astype(dtype)
    if not np.isfinite(stored).all():
        frame, column = np.argwhere(~np.isfinite(stored))[0]
        problem = f"{values[frame, column]} at frame {frame}, column {column}"
        raise wrong(path, KEY, problem, "extract this video again")
    return stored


@contextlib.contextmanager
def _member(path: Path | Entry) -> Iterator[tuple[IO[bytes], int]]:
    """The stream of the array inside the .npz, and its size in bytes."""
    with opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                info = _info(archive, path)
                with archive.open(info) as stream:
                    yield stream, info.file_size
        except InputError:
            raise
        except UNREADABLE as error:
            problem = f"is not a readable .npz: {error or type(error).__name__}"
            raise wrong(path, KEY, problem, "is the copy complete?") from None


def _info(archive: zipfile.ZipFile, path: object) -> zipfile.ZipInfo:
    names = archive.namelist()
    if names.count(MEMBER) != 1:
        keys = found([name.removesuffix(".npy") for name in names[:5]])
        problem = f"expected an array of this name, found {keys}"
        raise wrong(path, KEY, problem, "save with np.savez(path, features=...)")
    info = archive.getinfo(MEMBER)
    is_bomb = info.file_size > max(SMALL, MAX_RATIO * info.compress_size)
    if info.file_size > MAX_BYTES or is_bomb:
        problem = f"unpacks from {info.compress_size} to {info.file_size} bytes"
        raise wrong(path, KEY, problem, "this is not one video's features")
    return info


def _checked_header(file: IO[bytes], size: int, path: object) -> tuple[Header, bool]:
    """The header of a .npy stream, which then stands at its first value."""
    head = io.BytesIO(file.read(12))
    version = np.lib.format.read_magic(head)
    # The size field of versions 1 and 2 differs; a feature array needs neither more.
    length_bytes = 2 if version == (1, 0) else 4
    if version not in ((1, 0), (2, 0)):
        raise wrong(path, KEY, f"has the .npy version {version}", "save it with numpy")
    length = int.from_bytes(head.getvalue()[8 : 8 + length_bytes], "little")
    if length > 10_000:
        raise wrong(path, KEY, f"has a header of {length} bytes", "save it with numpy")
    missing = 8 + length_bytes + length - 12
    whole = io.BytesIO(head.getvalue() + file.read(missing))
    np.lib.format.read_magic(whole)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, is_fortran, dtype = read(whole)
    return checked(shape, dtype, size - len(whole.getvalue()), path), is_fortran


def checked(shape: tuple[int, ...], dtype: np.dtype, size: int, path: object) -> Header:
    """The header of `size` bytes that claim to be frames of this shape."""
    if dtype.kind != "f" or dtype.itemsize > 8:
        problem = f"has type {dtype}, expected float16, float32 or float64"
        raise wrong(path, KEY, problem)
    if len(shape) != 2:
        raise wrong(path, KEY, f"has shape {found(shape)}, expected (frames, width)")
    if min(shape) < 1:
        raise wrong(path, KEY, f"has shape {found(shape)}, so there is no frame to see")
    if math.prod(shape) * dtype.itemsize != size:
        problem = f"has {size} bytes, but its shape {found(shape)} needs others"
        raise wrong(path, KEY, problem, "is the copy complete?")
    return Header(shape[0], shape[1], dtype)
