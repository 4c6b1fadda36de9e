"""Values of official databases: MessagePack, decoded to plain data and nothing else.

    text       LZ4 frame of {"input_ids": [...], ...}
    features   {"features": {b"nd": true, b"type": "<f4", b"shape": [n, F], b"data": …}}
               or, in a compressed database, an .npz file

The official reader unpickles arrays of objects, and so runs code from a file; here only
arrays of floats are known, as bytes with a shape.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from data_pipelines.readers import features, lz4
from data_pipelines.readers.errors import found, kind_of, wrong
from data_pipelines.readers.features import KEY, Header
from data_pipelines.readers.fields import Row
from data_pipelines.readers.lmdb import Entry

MAX_RECORD = 1 << 22
"""Bytes of one text record, unpacked; every byte may be an object of its own."""
FEW: Mapping[str, int] = {"max_array_len": 16, "max_map_len": 16}
"""Bounds of what is packed around an array."""
HEAD = 1 << 12
"""Bytes that hold the shape of an array, which is written before its data."""
ZIP = b"PK\x03\x04"
REMEDY = "is the copy complete?"
# What msgpack raises on bytes that are not its own.
UNREADABLE = (msgpack.exceptions.UnpackException, ValueError, TypeError, OverflowError)


def text_record(entry: Entry) -> Row:
    """The fields of one record of a text database."""
    packed = lz4.decompress(entry.read(), entry, max_bytes=MAX_RECORD)
    value = _unpacked(packed, entry, raw=False)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise wrong(entry, "", f"expected named fields, found {kind_of(value)}")
    return Row(str(entry), value)


def _unpacked(data: bytes, place: object, *, raw: bool, **bounds: int) -> Any:
    try:
        return msgpack.unpackb(data, raw=raw, strict_map_key=False, **bounds)
    except UNREADABLE as error:
        problem = f"is not MessagePack: {error or type(error).__name__}"
        raise wrong(place, "", problem, REMEDY) from None


@dataclasses.dataclass(frozen=True)
class StoredFrames:
    """The first `num_frames` frames of a value of a feature database."""

    entry: Entry
    num_frames: int

    def read(self) -> np.ndarray:
        """Finite float features [num_frames, width], float16 as stored or float32."""
        if _is_zip(self.entry):
            return features.read_features(self.entry)[: self.num_frames]
        fields = _fields(self.entry)
        header = _header(fields, len(fields["data"]), self.entry)
        values = np.frombuffer(fields["data"], header.dtype)
        values = values.reshape(header.num_frames, header.width)[: self.num_frames]
        return features.finite(values, header.stored_dtype, self.entry)

    def state(self) -> tuple[str, int, int, int, int]:
        """Changes when the value may have changed."""
        file = self.entry.file.stat()
        where = self.entry.offset, self.num_frames
        return self.entry.key, *where, file.st_size, file.st_mtime_ns


def frames_header(entry: Entry) -> Header:
    """Shape and type of a video's features, mostly without reading them."""
    if _is_zip(entry):
        return features.read_header(entry)
    if fields := _fields_before_data(entry):
        return _header(fields, entry.size - fields["data"], entry)
    fields = _fields(entry)
    return _header(fields, len(fields["data"]), entry)


def _is_zip(entry: Entry) -> bool:
    with entry.open() as file:
        return file.read(len(ZIP)) == ZIP


def _fields(entry: Entry) -> dict[str, Any]:
    """The parts of a packed array; `data` are bytes."""
    value = _unpacked(entry.read(), entry, raw=True, **FEW)
    fields = _text_keys(_text_keys(value, entry).get(KEY), entry)
    if not isinstance(data := fields.get("data"), bytes):
        raise wrong(entry, KEY, f"has {kind_of(data)} for its data", REMEDY)
    return fields


def _fields_before_data(entry: Entry) -> dict[str, Any]:
    """What precedes the data, and as `data` where that starts.

    Empty where the data do not come last: then the value has to be read whole.
    """
    with entry.open() as file:
        head = file.read(HEAD)
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=HEAD)
    unpacker.feed(head)
    try:
        if unpacker.read_map_header() != 1 or unpacker.unpack() != KEY.encode():
            return {}
        fields = dict[str, Any]()
        for _ in range(unpacker.read_map_header() - 1):
            name = unpacker.unpack().decode()
            fields[name] = unpacker.unpack()
        if unpacker.unpack() == b"data":
            return fields | {"data": unpacker.tell() + _bin_head(head, unpacker)}
    except (*UNREADABLE, AttributeError, LookupError):
        pass  # Read whole, it is either in another order or named as damaged.
    return {}


def _bin_head(head: bytes, unpacker: msgpack.Unpacker) -> int:
    """Bytes in front of a binary value: its type, and its length in 1, 2 or 4 bytes."""
    return {0xC4: 2, 0xC5: 3, 0xC6: 5}[head[unpacker.tell()]]


def _text_keys(value: Any, entry: Entry) -> dict[str, Any]:
    """A map with its keys as text: they are bytes or text by the writer's version."""
    if not isinstance(value, Mapping):
        problem = f"expected a map with {KEY!r}, found {kind_of(value)}"
        raise wrong(entry, "", problem, "is this a database of features?")
    return {
        key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key): item
        for key, item in value.items()
    }


def _header(fields: Mapping[str, Any], size: int, entry: Entry) -> Header:
    kind, name, shape = fields.get("kind", b""), fields.get("type"), fields.get("shape")
    if fields.get("nd") is not True or kind or not isinstance(name, bytes):
        problem = f"expected an array of floats, found type {found(name)}"
        raise wrong(entry, KEY, problem, "no objects are read from files")
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise wrong(entry, KEY, f"has shape {found(shape)}, expected (frames, width)")
    try:
        dtype = np.dtype(name[:16].decode())
    except (TypeError, ValueError, SyntaxError):
        raise wrong(entry, KEY, f"has the unknown type {found(name)}") from None
    return features.checked(tuple(shape), dtype, size, entry)
