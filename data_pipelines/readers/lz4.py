"""LZ4 frames, unpacked in plain Python up to a stated size; checksums are checked.

magic | flags, block limit, [content size], check byte | blocks | 0 | [checksum]
"""

import struct

from data_pipelines.readers.errors import InputError, wrong

MAGIC = b"\x04\x22\x4d\x18"
REMEDY = "is the copy complete?"
_P1, _P2, _P3, _P4, _P5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
_32_BITS = 0xFFFFFFFF


def decompress(data: bytes, place: object, *, max_bytes: int) -> bytes:
    """The content of one frame; anything else, or more bytes, is an InputError."""
    try:
        return _Frame(data, place, max_bytes).content()
    except (IndexError, struct.error):
        raise _wrong(place, "ends too early") from None


def _wrong(place: object, problem: str) -> InputError:
    return wrong(place, "LZ4 frame", problem, REMEDY)


class _Frame:
    """One frame and what has been unpacked of it: matches reach back into that."""

    def __init__(self, data: bytes, place: object, max_bytes: int):
        self.data, self.place, self.max_bytes = data, place, max_bytes
        self.out = bytearray()

    def content(self) -> bytes:
        flags, start, size = self._head()
        has_block_checksums, has_checksum = flags & 0x10, flags & 0x04
        while block := self._number(start):
            start, end = start + 4, start + 4 + (block & 0x7FFFFFFF)
            if end > len(self.data):
                raise _wrong(self.place, "ends too early")
            self._block(start, end, is_packed=block == end - start)
            if has_block_checksums:
                self._check(self.data[start:end], at=end)
            start = end + (4 if has_block_checksums else 0)
        if has_checksum:
            self._check(bytes(self.out), at=start + 4)
        if size is not None and size != len(self.out):
            problem = f"holds {len(self.out)} bytes, but says it has {size}"
            raise _wrong(self.place, problem)
        return bytes(self.out)

    def _head(self) -> tuple[int, int, int | None]:
        """Flags, where the first block starts, and the size where it is stated."""
        if (magic := self.data[:4]) != MAGIC:
            problem = f"starts with {magic.hex(' ')}, expected {MAGIC.hex(' ')}"
            raise _wrong(self.place, problem)
        flags = self.data[4]
        if flags >> 6 != 1 or flags & 1:
            problem = f"has flags {flags:#04x}, expected version 1 and no dictionary"
            raise _wrong(self.place, problem)
        end = 14 if flags & 0x08 else 6
        if self.data[end] != xxh32(self.data[4:end]) >> 8 & 0xFF:
            raise _wrong(self.place, "has a damaged head")
        size = int.from_bytes(self.data[6:14], "little") if flags & 0x08 else None
        return flags, end + 1, size

    def _number(self, at: int) -> int:
        return struct.unpack_from("<I", self.data, at)[0]

    def _check(self, checked: bytes, *, at: int) -> None:
        if self._number(at) != xxh32(checked):
            raise _wrong(self.place, "is damaged: its checksum differs")

    def _block(self, start: int, end: int, *, is_packed: bool) -> None:
        if is_packed:
            self._unpack(start, end)
        else:
            self._room(end - start)
            self.out += self.data[start:end]

    def _unpack(self, at: int, end: int) -> None:
        """Literals and matches in turn; the last thing in a block are literals."""
        data, out = self.data, self.out
        while True:
            token = data[at]
            literals, at = self._length(token >> 4, at + 1)
            self._room(literals)
            out += data[at : at + literals]
            at += literals
            if at >= end:
                break
            offset = data[at] | data[at + 1] << 8
            length, at = self._length(token & 15, at + 2)
            self._room(length + 4)
            self._repeat(offset, length + 4)
        if at > end:
            raise _wrong(self.place, "has a block that ends too early")

    def _length(self, length: int, at: int) -> tuple[int, int]:
        """A length of 15 or more goes on in further bytes."""
        if length == 15:
            while (more := self.data[at]) == 255:
                length, at = length + 255, at + 1
            length, at = length + more, at + 1
        return length, at

    def _room(self, count: int) -> None:
        if len(self.out) + count > self.max_bytes:
            problem = f"unpacks to more than {self.max_bytes} bytes"
            raise wrong(self.place, "LZ4 frame", problem, "this is no HERO record")

    def _repeat(self, offset: int, length: int) -> None:
        out = self.out
        if not 0 < offset <= len(out):
            raise _wrong(self.place, "repeats what is not there")
        start = len(out) - offset
        if offset >= length:
            out += out[start : start + length]
        else:  # What is copied is still being written: a pattern that repeats.
            out += (out[start:] * (length // offset + 1))[:length]


def xxh32(data: bytes) -> int:
    """The 32-bit xxHash with seed 0."""
    end = len(data) & ~15
    if end:
        lanes = [(_P1 + _P2) & _32_BITS, _P2, 0, -_P1 & _32_BITS]
        for i, words in enumerate(struct.iter_unpack("<I", data[:end])):
            lanes[i & 3] = _rotated(lanes[i & 3] + words[0] * _P2, 13) * _P1 & _32_BITS
        total = sum(_rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18)))
    else:
        total = _P5
    total = (total + len(data)) & _32_BITS
    words_end = len(data) & ~3
    for (word,) in struct.iter_unpack("<I", data[end:words_end]):
        total = _rotated(total + word * _P3, 17) * _P4 & _32_BITS
    for byte in data[words_end:]:
        total = _rotated(total + byte * _P5, 11) * _P1 & _32_BITS
    total = (total ^ total >> 15) * _P2 & _32_BITS
    total = (total ^ total >> 13) * _P3 & _32_BITS
    return total ^ total >> 16


def _rotated(value: int, by: int) -> int:
    value &= _32_BITS
    return (value << by | value >> (32 - by)) & _32_BITS
