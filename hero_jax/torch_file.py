"""PyTorch's .pt files of tensors, both formats, read and written without PyTorch.

    zip (since 1.6)     archive/{data.pkl, byteorder, version}, archive/data/<key>
    one stream (before) magic, version, system | pickle | keys | size and values, ...

A file may say nothing but tensors and plain values by name. All sizes are checked
against the file's before memory is used; only the zip format has checksums.
"""

import contextlib
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from hero_jax.torch_pickle import (
    MAX_BYTES,
    STORAGES,
    BadPickle,
    Storage,
    Tensor,
    TorchFileError,
    dump,
    load,
)

State = Mapping[str, Any]
"""Name -> array, or a plain value: HERO's files hold a flag among the weights."""

ZIP = b"PK\x03\x04"
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
SYSTEM = {
    "protocol_version": PROTOCOL,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
ROOT = "archive"
ALIGNMENT = 64
"""Bytes; where values begin in a zip file, as PyTorch has it for mapping files."""
MAX_VIEWS = 4
"""Times that all tensors together may be larger than the file: shared storages are
counted once for each tensor, and the official files share one."""
PLAIN = (bool, int, float, str)
MAX_PLAIN = 1 << 63
FLOATS = {dtype.name: dtype for dtype in STORAGES.values() if dtype.name.count("float")}
"""The types that weights have, by name."""

# What zipfile raises on bytes that are no zip file.
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, IndexError,
    NotImplementedError, RuntimeError, OverflowError, struct.error, OSError,
)  # fmt: skip


def read_state(path: Path) -> dict[str, Any]:
    """Every entry of a file by name: arrays, and plain values as they are.

    Raises TorchFileError, in one line, for any file that is not wholly as it should be.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            is_zip = file.read(4) == ZIP
            file.seek(0)
            return (_read_zip if is_zip else _read_stream)(file, size)
    except OSError as error:
        raise TorchFileError(f"{path}: cannot be read ({error.strerror})") from None
    except BadPickle as problem:
        raise TorchFileError(
            f"{path}: not a file of weights that can be trusted: found {problem}; "
            f"get the file again from its source"
        ) from None


def _read_zip(file: IO[bytes], size: int) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(file) as archive:
            return _read_archive(archive, size)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0][:100] if str(error) else type(error)
        raise BadPickle(f"a damaged zip file ({reason})") from None


def _read_archive(archive: zipfile.ZipFile, size: int) -> dict[str, Any]:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise BadPickle("two members of one name")
    pickles = [n for n in members if n.count("/") == 1 and n.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise BadPickle(f"{len(pickles)} members called data.pkl, expected one")
    root = pickles[0].removesuffix("/data.pkl")
    order = members.get(f"{root}/byteorder")
    if order and _member(archive, order, limit=16) != b"little":
        raise BadPickle("values that are not little-endian")
    tree, _ = load(_member(archive, members[pickles[0]], limit=MAX_BYTES))
    entries = _checked(tree, size)
    flat, rest = {}, size
    for storage in _storages(entries):
        info = members.get(f"{root}/data/{storage.key}")
        expected = storage.num_bytes
        if info is None or info.file_size != expected:
            found = "none" if info is None else info.file_size
            raise BadPickle(
                f"{found} bytes for storage {storage.key[:40]!r}, expected {expected}"
            )
        # Members may overlap in the file, and each would be held by itself.
        flat[storage.key] = _values(_member(archive, info, limit=rest), storage)
        rest -= expected
    return _arrays(entries, flat)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, limit: int) -> bytes:
    """A member's bytes, its checksum verified; PyTorch never compresses."""
    is_plain = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
    if not is_plain or info.file_size != info.compress_size or info.file_size > limit:
        raise BadPickle(
            f"the member {info.filename[:60]!r} of {info.file_size} bytes, "
            f"expected at most {limit}, neither compressed nor encrypted"
        )
    return archive.read(info)


def _read_stream(file: IO[bytes], size: int) -> dict[str, Any]:
    """Three pickles that say what the file is, two about the tensors, and values."""
    if _next(file) != MAGIC or _next(file) != PROTOCOL:
        raise BadPickle("neither of PyTorch's formats")
    system = _next(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise BadPickle("values that are not little-endian")
    entries = _checked(_next(file), size)
    storages = {storage.key: storage for storage in _storages(entries)}
    keys = _next(file)
    if not isinstance(keys, list) or any(type(key) is not str for key in keys):
        raise BadPickle("no list of storages")
    if len(set(keys)) != len(keys) or set(keys) != set(storages):
        raise BadPickle(f"{len(keys)} storages, expected those of the tensors alone")
    flat = {key: _next_values(file, storages[key], size) for key in keys}
    if rest := size - file.tell():
        raise BadPickle(f"{rest} bytes behind the last storage")
    return _arrays(entries, flat)


def _next(file: IO[bytes]) -> Any:
    start = file.tell()
    value, length = load(file.read(MAX_BYTES))
    file.seek(start + length)
    return value


def _next_values(file: IO[bytes], storage: Storage, size: int) -> np.ndarray:
    expected = storage.num_bytes
    header = file.read(8)
    count = struct.unpack("<q", header)[0] if len(header) == 8 else -1
    if count != storage.size or expected > size - file.tell():
        raise BadPickle(
            f"storage {storage.key[:40]!r} of {count} values with "
            f"{size - file.tell()} bytes to go, expected {storage.size} values"
        )
    return _values(file.read(expected), storage)


def _checked(tree: Any, size: int) -> dict[str, Any]:
    """The dict of tensors and plain values that a file of weights is."""
    if not isinstance(tree, dict):
        raise BadPickle(f"a {type(tree).__name__}, expected tensors by name")
    for name, value in tree.items():
        if type(name) is not str or not isinstance(value, (Tensor, *PLAIN)):
            raise BadPickle(
                f"a {type(value).__name__} under {str(name)[:80]!r}, expected a tensor"
            )
        if type(value) is int and abs(value) >= MAX_PLAIN:
            raise BadPickle(f"a huge number under {name[:80]!r}")
    tensors = [value for value in tree.values() if isinstance(value, Tensor)]
    if sum(tensor.num_bytes for tensor in tensors) > MAX_VIEWS * size:
        raise BadPickle("tensors that unfold to many times the size of the file")
    return tree


def _storages(entries: Mapping[str, Any]) -> Iterator[Storage]:
    """Each storage once; what is said of it must be the same everywhere."""
    known: dict[str, Storage] = {}
    for tensor in entries.values():
        if not isinstance(tensor, Tensor):
            continue
        storage = tensor.storage
        if known.setdefault(storage.key, storage) != storage:
            raise BadPickle(f"two descriptions of storage {storage.key[:40]!r}")
    yield from known.values()


def _arrays(
    entries: Mapping[str, Any], flat: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    return {
        name: _view(flat, value) if isinstance(value, Tensor) else value
        for name, value in entries.items()
    }


def _values(raw: bytes, storage: Storage) -> np.ndarray:
    values = np.frombuffer(raw, storage.dtype)
    if storage.dtype == bool and values.view(np.uint8).max(initial=0) > 1:
        raise BadPickle("truth values that are neither 0 nor 1")
    return values


def _view(flat: Mapping[str, np.ndarray], tensor: Tensor) -> np.ndarray:
    """The tensor in an array of its own storage, which it lies within."""
    values = flat[tensor.storage.key][tensor.offset :]
    strides = [stride * values.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(
        values, tensor.shape, strides, writeable=False
    )


# --- writing ------------------------------------------------------------------------


def write_state(path: Path, state: State, *, is_legacy: bool = False) -> None:
    """Writes a file that `torch.load` reads; entries that are one array share values.

    With `is_legacy` in the format before PyTorch 1.6, which every version reads.
    """
    arrays, tensors = _described(state)
    written = path.with_name(f".{path.name}.writing")
    with contextlib.ExitStack() as stack:
        stack.callback(written.unlink, missing_ok=True)
        file = stack.enter_context(written.open("wb"))
        (_write_stream if is_legacy else _write_zip)(file, tensors, arrays)
        file.flush()
        written.replace(path)


def _described(state: State) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by the key of their storage, and the dict that refers to them."""
    arrays: dict[str, np.ndarray] = {}
    keys: dict[int, str] = {}
    entries: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, PLAIN):
            entries[name] = value
            continue
        if (key := keys.setdefault(id(value), str(len(arrays)))) not in arrays:
            # Not ascontiguousarray, which turns a number into a row of one.
            arrays[key] = np.asarray(value, order="C")
        entries[name] = _whole(key, arrays[key])
    return arrays, entries


def _whole(key: str, array: np.ndarray) -> Tensor:
    if array.dtype not in STORAGES.values():
        raise TypeError(f"PyTorch's files hold no {array.dtype}")
    strides = tuple(math.prod(array.shape[i + 1 :]) for i in range(array.ndim))
    return Tensor(Storage(array.dtype, key, array.size), 0, array.shape, strides)


def _write_zip(
    file: IO[bytes], entries: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "data.pkl", dump(entries))
        _add(archive, "byteorder", b"little")
        for key, array in arrays.items():
            _add(archive, f"data/{key}", array.tobytes())
        _add(archive, "version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """A member whose content starts at a multiple of ALIGNMENT, by a filler field."""
    info = zipfile.ZipInfo(f"{ROOT}/{name}")
    assert archive.fp is not None
    start = archive.fp.tell() + 30 + len(info.filename) + 4
    filler = -start % ALIGNMENT
    info.extra = b"FB" + struct.pack("<H", filler) + b"Z" * filler
    archive.writestr(info, content)


def _write_stream(
    file: IO[bytes], entries: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    for value in (MAGIC, PROTOCOL, SYSTEM, entries, list(arrays)):
        file.write(dump(value, has_views=True))
    for array in arrays.values():
        file.write(struct.pack("<q", array.size) + array.tobytes())
