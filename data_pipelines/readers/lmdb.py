"""LMDB files: where each value lies, from the B-tree itself, bounded and read-only.

The library maps the file into memory, so a file that was cut short kills the process,
and it locks, which network file systems dislike. Here every page is read and checked:

    page 0, 1   meta: page size, and the root of the newest tree
    branch      keys and the pages below them
    leaf        keys, and their values or the first page of a long value
    overflow    the pages of one long value, one behind the other
"""

import dataclasses
import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from data_pipelines.readers.errors import InputError, in_words, wrong

FILE = "data.mdb"
MAGIC, FORMAT = 0xBEEFC0DE, 1
BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
LONG_VALUE = 1
NO_PAGE = 2**64 - 1
MAX_DEPTH = 32
"""Levels of a tree; a billion entries need fewer than ten."""

PAGE = struct.Struct("<QHHHH")
"""Number, unused, flags, and the ends of the free space or the count of pages."""
HEADER = PAGE.size
META_HEAD = struct.Struct("<IIQQ")
TREE = struct.Struct("<IHHQQQQQ")
"""Page size (of the first tree), flags, depth, three page counts, entries, root."""
META_TAIL = struct.Struct("<QQ")
NODE = struct.Struct("<HHHH")
REMEDY = "is the copy complete?"


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where the value of a key lies. Opens like a file; pickles as a place."""

    file: Path
    key: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.file}[{self.key}]"

    def open(self, mode: str = "rb") -> IO[bytes]:
        """A buffered stream of the value alone."""
        return io.BufferedReader(_Slice(self))

    def read(self) -> bytes:
        with in_words(self.file), self.file.open("rb") as file:
            file.seek(self.offset)
            value = file.read(self.size)
        if len(value) != self.size:
            raise wrong(self, "", "ends before its value does", REMEDY)
        return value


class _Slice(io.RawIOBase):
    """The bytes of an entry as a file that ends where they end."""

    def __init__(self, entry: Entry):
        self.entry, self.place = entry, 0
        self.file = entry.file.open("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.place}.get(whence, self.entry.size)
        self.place = max(0, start + offset)
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def, override]
        count = max(0, min(len(buffer), self.entry.size - self.place))
        self.file.seek(self.entry.offset + self.place)
        read = self.file.readinto(memoryview(buffer)[:count]) or 0
        self.place += read
        return read

    def close(self) -> None:
        self.file.close()
        super().close()


def entries(directory: Path) -> dict[str, Entry]:
    """The values of an LMDB directory by key, in the order of the keys' bytes.

    Nothing is kept open. A damaged or truncated file is an InputError.
    """
    path = directory / FILE
    if not path.is_file():
        raise wrong(path, "", "is missing", "an LMDB is a folder with this file")
    with in_words(path), path.open("rb") as file:
        tree = _Tree(path, file)
        try:
            found = {entry.key: entry for entry in tree.walk()}
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise tree.damaged(f"cannot be followed: {error}") from None
    if len(found) != tree.num_entries:
        problem = f"holds {len(found)} values, but says it has {tree.num_entries}"
        raise tree.damaged(problem)
    return found


class _Tree:
    """The newest tree of an open file."""

    def __init__(self, path: Path, file: IO[bytes]):
        self.path, self.file = path, file
        self.size = os.fstat(file.fileno()).st_size
        self.page_size = 4096
        first = self._meta(0)
        self.page_size = first.page_size
        newest = max(first, self._meta(1), key=lambda meta: meta.transaction)
        if newest.free != NO_PAGE:  # nobody reads it, but a whole copy has it
            self._page(newest.free)
        self.root, self.num_entries = newest.root, newest.entries
        self.seen = set[int]()

    def damaged(self, problem: str) -> InputError:
        return wrong(self.path, "", problem, REMEDY)

    def _meta(self, number: int) -> "_Meta":
        page = self._bytes(number * self.page_size, HEADER + 136, f"page {number}")
        _, _, flags, _, _ = PAGE.unpack_from(page)
        magic, version, _, _ = META_HEAD.unpack_from(page, HEADER)
        if magic != MAGIC or not flags & META:
            raise self.damaged(f"page {number} is no LMDB meta page")
        # The upper bits of the version say how data and lock files are kept.
        if version & 0xFF != FORMAT:
            raise self.damaged(f"has LMDB format {version}, expected {FORMAT}")
        free = TREE.unpack_from(page, HEADER + META_HEAD.size)
        main = TREE.unpack_from(page, HEADER + META_HEAD.size + TREE.size)
        end = HEADER + META_HEAD.size + 2 * TREE.size
        _, transaction = META_TAIL.unpack_from(page, end)
        if free[0] not in (1 << bits for bits in range(9, 17)):
            raise self.damaged(f"has pages of {free[0]} bytes, expected 512 to 65536")
        if main[1]:
            problem = f"has tree flags {main[1]:#x}, expected plain keys and values"
            raise self.damaged(problem)
        return _Meta(free[0], main[6], main[7], free[7], transaction)

    def walk(self) -> Iterator[Entry]:
        """All entries in order; empty for an empty file."""
        if self.root != NO_PAGE:
            yield from self._below(self.root, MAX_DEPTH)

    def _below(self, number: int, depth: int) -> Iterator[Entry]:
        if depth == 0 or number in self.seen:
            raise self.damaged(f"page {number} is part of a circle")
        self.seen.add(number)
        page = self._page(number)
        flags, nodes = self._nodes(page, number)
        for offset in nodes:
            low, high, node_flags, key_size = NODE.unpack_from(page, offset)
            start = offset + NODE.size
            if flags & BRANCH:
                yield from self._below(low | high << 16 | node_flags << 32, depth - 1)
                continue
            if start + key_size > len(page):
                raise self.damaged(f"page {number} has a key beyond its end")
            key = page[start : start + key_size].decode()
            where = number, start + key_size
            yield self._entry(key, page, where, low | high << 16, node_flags)

    def _nodes(self, page: bytes, number: int) -> tuple[int, list[int]]:
        """Flags of a page, and where in it each node starts."""
        found, _, flags, lower, upper = PAGE.unpack_from(page)
        if found != number or flags & 0xF not in (BRANCH, LEAF):
            raise self.damaged(f"page {number} is no page of the tree")
        if not HEADER <= lower <= upper <= self.page_size:
            raise self.damaged(f"page {number} has its free space at {lower}-{upper}")
        count = (lower - HEADER) // 2
        return flags, list(struct.unpack_from(f"<{count}H", page, HEADER))

    def _entry(
        self, key: str, page: bytes, where: tuple[int, int], size: int, flags: int
    ) -> Entry:
        number, start = where
        if flags & ~LONG_VALUE:
            problem = f"key {key!r} has node flags {flags:#x}, expected a plain value"
            raise self.damaged(problem)
        if not flags:
            if start + size > self.page_size:
                raise self.damaged(f"page {number} has a value beyond its end")
            return Entry(self.path, key, number * self.page_size + start, size)
        first = int.from_bytes(page[start : start + 8], "little")
        offset = first * self.page_size
        head = self._bytes(offset, HEADER, f"page {first} of key {key!r}")
        found, _, first_flags, low, high = PAGE.unpack(head)
        length = (low | high << 16) * self.page_size
        if found != first or first_flags & 0xF != OVERFLOW or length < HEADER + size:
            raise self.damaged(f"page {first} is not the value of key {key!r}")
        self._check_end(offset + HEADER + size, f"the value of key {key!r}")
        return Entry(self.path, key, offset + HEADER, size)

    def _page(self, number: int) -> bytes:
        return self._bytes(number * self.page_size, self.page_size, f"page {number}")

    def _bytes(self, offset: int, size: int, what: str) -> bytes:
        self._check_end(offset + size, what)
        self.file.seek(offset)
        return self.file.read(size)

    def _check_end(self, end: int, what: str) -> None:
        if end > self.size:
            problem = f"has {self.size} bytes, but {what} ends at byte {end}"
            raise self.damaged(f"is truncated: {problem}")


@dataclasses.dataclass(frozen=True)
class _Meta:
    page_size: int
    entries: int
    root: int
    free: int
    """The root of the tree of free pages."""
    transaction: int
