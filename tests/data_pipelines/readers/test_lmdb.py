import random
import struct
from pathlib import Path

import pytest

from data_pipelines.readers import lmdb
from data_pipelines.readers.errors import InputError

SIZE = 512
"""Bytes of a page here: small, so that a few values make a tree of three levels."""
GOLDEN = Path(__file__).resolve().parents[2] / "golden/data/db/txt/tvr_val.db"


def page(number, flags, nodes=(), *, count=None):
    """A page whose nodes lie at its end; an overflow page counts its pages."""
    ends, end = [], SIZE
    for node in nodes:
        end -= len(node) + len(node) % 2
        ends.append(end)
    low = lmdb.HEADER + 2 * len(nodes)
    low, high = (low, end) if count is None else (count, 0)
    body = bytearray(lmdb.PAGE.pack(number, 0, flags, low, high).ljust(SIZE, b"\0"))
    for i, (start, node) in enumerate(zip(ends, nodes)):
        struct.pack_into("<H", body, lmdb.HEADER + 2 * i, start)
        body[start : start + len(node)] = node
    return bytes(body)


def leaf(key, value):
    head = lmdb.NODE.pack(len(value) & 0xFFFF, len(value) >> 16, 0, len(key))
    return head + key + value


def long_leaf(key, size, first):
    head = lmdb.NODE.pack(size & 0xFFFF, size >> 16, lmdb.LONG_VALUE, len(key))
    return head + key + first.to_bytes(8, "little")


def branch(key, number):
    return lmdb.NODE.pack(number, 0, 0, len(key)) + key


def meta(
    number,
    *,
    root,
    entries,
    transaction,
    flags=0,
    magic=lmdb.MAGIC,
    unused=lmdb.NO_PAGE,
):
    free = lmdb.TREE.pack(SIZE, 8, 0, 0, 0, 0, 0, unused)
    main = lmdb.TREE.pack(0, flags, 2, 0, 0, 0, entries, root)
    head = lmdb.META_HEAD.pack(magic, lmdb.FORMAT, 0, 0)
    body = head + free + main + lmdb.META_TAIL.pack(0, transaction)
    return (lmdb.PAGE.pack(number, 0, lmdb.META, 0, 0) + body).ljust(SIZE, b"\0")


LONG = bytes(range(256)) * 4
VALUES = {"a": b"", "b": b"two", "c": LONG, "z": b"last"}
PAGES = {
    "old": meta(0, root=lmdb.NO_PAGE, entries=0, transaction=1),
    "new": meta(1, root=2, entries=4, transaction=2),
    "branch": page(2, lmdb.BRANCH, [branch(b"", 3), branch(b"c", 4)]),
    "left": page(3, lmdb.LEAF, [leaf(b"a", b""), leaf(b"b", b"two")]),
    "right": page(4, lmdb.LEAF, [long_leaf(b"c", 1024, 5), leaf(b"z", b"last")]),
    "long": lmdb.PAGE.pack(5, 0, lmdb.OVERFLOW, 3, 0)
    + LONG.ljust(3 * SIZE - 16, b"\0"),
}


@pytest.fixture
def write(tmp_path):
    def write(*, size=None, **changed):
        data = b"".join((PAGES | changed).values())
        (tmp_path / "data.mdb").write_bytes(data[:size])
        return tmp_path

    return write


def test_every_value_is_found_by_its_key(write):
    found = lmdb.entries(write())
    assert list(found) == list(VALUES)
    assert {key: entry.read() for key, entry in found.items()} == VALUES
    assert str(found["b"]).endswith("data.mdb[b]")


def test_the_newest_of_both_metas_counts(write):
    older = {"old": PAGES["new"].replace(b"\1", b"\0", 1)}
    newer = {"new": meta(1, root=lmdb.NO_PAGE, entries=0, transaction=3)}
    assert lmdb.entries(write(**older, **newer)) == {}


def test_a_value_opens_like_a_file(write):
    with lmdb.entries(write())["c"].open() as file:
        file.seek(-4, 2)
        assert file.read() == LONG[-4:]
        file.seek(250)
        assert file.read(10) == LONG[250:260]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"new": b"\0" * SIZE}, "page 1 is no LMDB meta page"),
        ({"old": b"<html>".ljust(SIZE)}, "page 0 is no LMDB meta page"),
        ({"new": meta(1, root=2, entries=5, transaction=2)}, "4 values, but says it"),
        ({"new": meta(1, root=2, entries=4, transaction=2, flags=4)}, "tree flags 0x4"),
        ({"new": meta(1, root=0, entries=4, transaction=2)}, "page 0 is no page of"),
        ({"new": meta(1, root=99, entries=4, transaction=2)}, "is truncated: has 4096"),
        ({"left": b"\0" * SIZE}, "page 3 is no page of the tree"),
        ({"long": b"\0" * SIZE * 3}, "page 5 is not the value of key 'c'"),
        ({"branch": page(2, 1, [branch(b"", 2)])}, "page 2 is part of a circle"),
        ({"branch": page(2, 1, [branch(b"", 3)] * 2)}, "page 3 is part of a circle"),
        ({"left": page(3, 2, [leaf(b"\xff", b"")])}, "cannot be followed: 'utf-8'"),
    ],
)
def test_a_damaged_file_is_named(write, changed, message):
    with pytest.raises(InputError) as error:
        lmdb.entries(write(**changed))
    assert "data.mdb: " in str(error.value) and message in str(error.value)
    assert "is the copy complete?" in str(error.value)


def test_a_truncated_file_is_named_wherever_it_ends(write):
    whole = len(b"".join(PAGES.values()))
    # The last page of the long value is not full.
    for size in range(0, whole - SIZE, 128):
        with pytest.raises(InputError, match="data.mdb: is truncated: has"):
            lmdb.entries(write(size=size))


def test_a_file_cut_in_its_list_of_free_pages_is_named(write):
    with_list = meta(1, root=2, entries=4, transaction=2, unused=8)
    free = page(8, lmdb.LEAF, [leaf(b"8 bytes.", b"")])
    assert set(lmdb.entries(write(new=with_list, free=free))) == set(VALUES)
    with pytest.raises(InputError, match="data.mdb: is truncated: has"):
        lmdb.entries(write(new=with_list))


def test_a_value_cut_after_its_place_was_read_is_named(write):
    entry = lmdb.entries(write())["c"]
    write(size=6 * SIZE)
    with pytest.raises(InputError, match=r"data.mdb\[c\]: ends before its value does"):
        entry.read()


def test_a_folder_without_the_file_is_named(tmp_path):
    with pytest.raises(InputError, match="data.mdb: is missing"):
        lmdb.entries(tmp_path)


def test_no_mutation_raises_anything_but_an_input_error(write, tmp_path):
    rng = random.Random(0)
    whole = (GOLDEN / "data.mdb").read_bytes()
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            # Where pages begin is where structure is.
            at = rng.choice([rng.randrange(len(data)), 4096 * rng.randrange(3) + 40])
            data[min(at + rng.randrange(120), len(data) - 1)] = rng.randrange(256)
        (tmp_path / "data.mdb").write_bytes(data[: rng.randrange(len(data)) or None])
        try:
            for entry in lmdb.entries(tmp_path).values():
                entry.read()
        except InputError:
            pass


def test_the_library_reads_the_same(tmp_path):
    library = pytest.importorskip("lmdb")
    rng = random.Random(0)
    values = {f"{rng.randrange(10**9)}": rng.randbytes(rng.choice((0, 9, 3000, 9000)))
              for _ in range(500)}  # fmt: skip
    with library.open(str(tmp_path), map_size=1 << 28) as environment:
        for keys in (list(values)[:250], list(values)[250:]):
            with environment.begin(write=True) as transaction:
                for key in keys:
                    transaction.put(key.encode(), values[key])
    found = lmdb.entries(tmp_path)
    assert {key: entry.read() for key, entry in found.items()} == values
