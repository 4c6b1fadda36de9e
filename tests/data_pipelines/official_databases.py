"""Databases as the official preparation writes them, small and made up."""

import json
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from data_pipelines.readers import lmdb
from data_pipelines.readers.lz4 import MAGIC, xxh32

SIZE = 4096
"""Bytes of a page."""


def write_lmdb(folder: Path, values: dict[str, bytes]) -> Path:
    """One leaf page, and every value on pages of its own."""
    pages, nodes = [], []
    for key, value in sorted(values.items()):
        name, first = key.encode(), 3 + sum(len(page) for page in pages) // SIZE
        count = -(-(lmdb.HEADER + len(value)) // SIZE)
        head = lmdb.PAGE.pack(first, 0, lmdb.OVERFLOW, count, 0)
        pages.append((head + value).ljust(count * SIZE, b"\0"))
        sizes = len(value) & 0xFFFF, len(value) >> 16, lmdb.LONG_VALUE, len(name)
        nodes.append(lmdb.NODE.pack(*sizes) + name + first.to_bytes(8, "little"))
    data = b"".join([_meta(0, 1, len(nodes)), _meta(1, 2, len(nodes)), _leaf(2, nodes)])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / lmdb.FILE).write_bytes(data + b"".join(pages))
    return folder


def _meta(number: int, transaction: int, num_entries: int) -> bytes:
    free = lmdb.TREE.pack(SIZE, 8, 0, 0, 0, 0, 0, lmdb.NO_PAGE)
    main = lmdb.TREE.pack(0, 0, 1, 0, 1, 0, num_entries, 2)
    head = lmdb.META_HEAD.pack(lmdb.MAGIC, lmdb.FORMAT, 0, 0)
    body = head + free + main + lmdb.META_TAIL.pack(0, transaction)
    return (lmdb.PAGE.pack(number, 0, lmdb.META, 0, 0) + body).ljust(SIZE, b"\0")


def _leaf(number: int, nodes: list[bytes]) -> bytes:
    starts, body = [], bytearray(SIZE)
    end = SIZE
    for node in nodes:
        end -= len(node) + len(node) % 2
        starts.append(end)
        body[end : end + len(node)] = node
    low = lmdb.HEADER + 2 * len(nodes)
    body[: lmdb.HEADER] = lmdb.PAGE.pack(number, 0, lmdb.LEAF, low, end)
    for i, start in enumerate(starts):
        at = lmdb.HEADER + 2 * i
        body[at : at + 2] = start.to_bytes(2, "little")
    return bytes(body)


def lz4_frame(data: bytes) -> bytes:
    """Stored, not packed: the simplest frame there is."""
    head = bytes([0x60, 0x40])
    size = (len(data) | 1 << 31).to_bytes(4, "little")
    check = bytes([xxh32(head) >> 8 & 0xFF])
    return MAGIC + head + check + size + data + b"\0\0\0\0"


def text_value(record: dict[str, Any]) -> bytes:
    return lz4_frame(msgpack.packb(record, use_bin_type=True))


def frames_value(frames: np.ndarray, **changed: Any) -> bytes:
    """As msgpack-numpy stores an array: byte keys, the data last."""
    fields = {
        b"nd": True,
        b"type": frames.dtype.str,
        b"kind": b"",
        b"shape": frames.shape,
        b"data": frames.tobytes(),
    }
    fields |= {name.encode(): value for name, value in changed.items()}
    return msgpack.packb({"features": fields}, use_bin_type=True)


def write_texts(folder: Path, records: dict[str, dict[str, Any]], **sides: Any) -> Path:
    """A text database; `id2len=...` becomes the side file `id2len.json`."""
    write_lmdb(folder, {key: text_value(record) for key, record in records.items()})
    for name, value in sides.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def dialogue(*lines: tuple[str, float, float], num_frames: int) -> dict[str, Any]:
    """A record of a subtitle database; the official alignment is left to tests."""
    subtitles = [{"text": t, "start": start, "end": end} for t, start, end in lines]
    return {
        "sub": subtitles,
        "input_ids": [[10 + len(text)] for text, _, _ in lines] or [[]],
        "unique_sub2frames": [[0, list(range(num_frames))]],
        "duration": num_frames,
    }
