import contextlib
import random

import pytest

from data_pipelines.readers.errors import InputError
from data_pipelines.readers.lz4 import MAGIC, decompress, xxh32

ROOMY = 1 << 20


def frame(*blocks, flags=0x60, head=b"", end=b"\0\0\0\0"):
    """A frame whose blocks are packed, or stored where they are of type bytearray."""
    descriptor = bytes([flags, 0x40]) + head
    check = bytes([xxh32(descriptor) >> 8 & 0xFF])
    sized = (
        (len(b) | (isinstance(b, bytearray) << 31)).to_bytes(4, "little") + bytes(b)
        for b in blocks
    )
    return MAGIC + descriptor + check + b"".join(sized) + end


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"", 0x02CC5D05),
        (b"a", 0x550D7456),
        (b"abc", 0x32D153FF),
        (b"Nobody inspects the spammish repetition", 0xE2293B2F),
    ],
)
def test_the_checksum_is_that_of_the_published_examples(text, value):
    assert xxh32(text) == value


def test_literals_are_copied():
    assert decompress(frame(b"\x30abc"), "x", max_bytes=ROOMY) == b"abc"


def test_a_match_repeats_what_was_just_written():
    # Two literals, then eight bytes from two back; one literal ends the block.
    block = b"\x24ab\x02\x00" + b"\x10c"
    assert decompress(frame(block), "x", max_bytes=ROOMY) == b"abababababc"


def test_a_match_reaches_into_the_block_before():
    blocks = frame(b"\x40abcd", b"\x00\x04\x00\x10e")
    assert decompress(blocks, "x", max_bytes=ROOMY) == b"abcdabcde"


def test_a_stored_block_is_taken_as_it_is():
    assert decompress(frame(bytearray(b"abc")), "x", max_bytes=ROOMY) == b"abc"


def test_long_lengths_go_on_in_further_bytes():
    literals = bytes(range(256)) + b"x" * 20
    block = b"\xf0\xff" + bytes([276 - 15 - 255]) + literals
    assert decompress(frame(block), "x", max_bytes=ROOMY) == literals


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "starts with , expected 04 22 4d 18"),
        (b"PK\x03\x04abc", "starts with 50 4b 03 04"),
        (frame(b"\x30abc", flags=0x61), "has flags 0x61, expected version 1"),
        (frame(b"\x30abc")[:-1], "ends too early"),
        (frame(b"\x30abc")[:-5], "ends too early"),
        (frame(b"\x30ab"), "block that ends too early"),
        (frame(b"\x24ab\x03\x00\x10c"), "repeats what is not there"),
        (frame(b"\x24ab\x00\x00\x10c"), "repeats what is not there"),
        (
            frame(b"\x30abc", flags=0x68, head=(4).to_bytes(8, "little")),
            "holds 3 bytes, but says it has 4",
        ),
        (frame(b"\x30abc", flags=0x64, end=b"\0\0\0\0\1\2\3\4"), "its checksum diff"),
        (frame(b"\x30abc").replace(MAGIC + b"\x60", MAGIC + b"\x70"), "damaged head"),
    ],
)
def test_a_damaged_frame_is_named(data, message):
    with pytest.raises(InputError) as error:
        decompress(data, "a.db[v1]", max_bytes=ROOMY)
    assert str(error.value).startswith("a.db[v1]: LZ4 frame: ")
    assert message in str(error.value)


def test_checksums_are_accepted_where_they_are_right():
    end = b"\0\0\0\0" + xxh32(b"abc").to_bytes(4, "little")
    data = frame(b"\x30abc", flags=0x64, end=end)
    assert decompress(data, "x", max_bytes=ROOMY) == b"abc"


def test_a_frame_that_unpacks_to_too_much_is_refused_before_it_does():
    bomb = b"\x1fa\x01\x00" + b"\xff" * 10_000 + b"\x00\x10b"
    with pytest.raises(InputError, match="unpacks to more than 1000000 bytes"):
        decompress(frame(bomb), "x", max_bytes=1_000_000)


def test_no_mutation_of_a_frame_raises_anything_but_an_input_error():
    rng = random.Random(0)
    whole = frame(b"\x24ab\x02\x00\x10c", bytearray(b"hello"), b"\x40wxyz")
    for _ in range(2000):
        data = bytearray(whole[: rng.randrange(1, len(whole) + 1)])
        for _ in range(rng.randrange(3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(InputError):
            decompress(bytes(data), "x", max_bytes=ROOMY)
