import io
import pickle

import msgpack
import numpy as np
import pytest

from data_pipelines.readers.errors import InputError
from data_pipelines.readers.lmdb import Entry
from data_pipelines.readers.packed import StoredFrames, frames_header, text_record
from tests.data_pipelines.official_databases import frames_value, lz4_frame

FRAMES = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture
def entry(tmp_path):
    def entry(value):
        file = tmp_path / "data.mdb"
        file.write_bytes(b"before" + value + b"behind")
        return Entry(file, "v1", 6, len(value))

    return entry


def stored(frames=FRAMES, **changed):
    return frames_value(frames, **changed)


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_packed_frames_are_read_and_known_beforehand(entry, dtype):
    place = entry(stored(FRAMES.astype(dtype)))
    header = frames_header(place)
    assert (header.num_frames, header.width) == (3, 2)
    kept = np.float16 if dtype == np.float16 else np.float32
    frames = StoredFrames(place, 2).read()
    assert frames.dtype == kept == header.stored_dtype
    np.testing.assert_array_equal(frames, FRAMES[:2])


def test_long_arrays_are_known_by_their_first_bytes(entry, monkeypatch):
    place = entry(stored(np.ones((300, 40), np.float32)))
    monkeypatch.setattr(Entry, "read", None)
    assert frames_header(place).num_frames == 300


def test_the_data_may_come_first(entry):
    fields = {"data": FRAMES.tobytes(), "shape": [3, 2], "type": "<f4", "nd": True}
    place = entry(msgpack.packb({b"features": fields}))
    assert frames_header(place).num_frames == 3
    np.testing.assert_array_equal(StoredFrames(place, 3).read(), FRAMES)


def test_compressed_frames_may_have_a_stray_member(entry):
    place = entry(npz(features=FRAMES, allow_pickle=np.array(False)))
    assert frames_header(place).num_frames == 3
    np.testing.assert_array_equal(StoredFrames(place, 2).read(), FRAMES[:2])


class Bomb:
    def __reduce__(self):
        return (exit, (66,))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (stored(kind=b"O", data=pickle.dumps(Bomb())), "expected an array of floats"),
        (stored(type="|O", data=pickle.dumps(Bomb())), "has type object"),
        (stored(type="<f4,<f4"), "has type"),
        (stored(type="nonsense"), "has the unknown type b'nonsense'"),
        (stored(type=7), "expected an array of floats, found type 7"),
        (stored(nd=False), "expected an array of floats"),
        (stored(shape=[3, 3]), "has 24 bytes, but its shape (3, 3) needs others"),
        (stored(shape=[-1, 2]), "so there is no frame to see"),
        (stored(shape=[6]), "has shape (6,), expected (frames, width)"),
        (stored(shape=[3, 2.0]), "has shape [3, 2.0], expected (frames, width)"),
        (stored(shape="32"), "has shape b'32', expected (frames, width)"),
        (stored(data="text"), "has 4 bytes, but its shape (3, 2) needs others"),
        (stored(data=7), "has a number for its data"),
        (stored(np.full((3, 2), np.nan, np.float32)), "nan at frame 0, column 0"),
        (stored()[:-3], "has 21 bytes, but its shape (3, 2) needs others"),
        (stored() + b"x", "has 25 bytes, but its shape (3, 2) needs others"),
        (b"", "is not MessagePack"),
        (msgpack.packb([1]), "expected a map with 'features', found a list"),
        (msgpack.packb({"other": 1}), "expected a map with 'features', found null"),
        (b"\xdd\xff\xff\xff\xff", "is not MessagePack"),
        (b"\x91" * 100_000, "is not MessagePack"),
        (npz(features=FRAMES)[:-30], "is not a readable .npz"),
        (npz(features=np.array([Bomb()], object)), "has type object, expected float16"),
        (npz(other=FRAMES), "expected an array of this name, found ['other']"),
    ],
)
def test_frames_that_are_none_are_named_and_nothing_is_run(entry, value, message):
    place = entry(value)
    with pytest.raises(InputError) as error:
        StoredFrames(place, frames_header(place).num_frames).read()
    assert "data.mdb[v1]: " in str(error.value) and message in str(error.value)


def test_a_value_that_unpacks_to_too_much_is_refused(entry):
    with pytest.raises(InputError, match="unpacks from .* to .* bytes"):
        frames_header(entry(npz(features=np.zeros((1 << 12, 1 << 11), np.float32))))


def test_a_text_record_is_fields_by_name(entry):
    row = text_record(entry(lz4_frame(msgpack.packb({"desc": "Ann", "ts": [1, 2]}))))
    assert row.values == {"desc": "Ann", "ts": [1, 2]}
    assert "data.mdb[v1]: desc: no" in str(row.wrong("desc", "no"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (msgpack.packb({"desc": "Ann"}), "LZ4 frame: starts with 81 a4 64 65"),
        (lz4_frame(b"\xc1"), "is not MessagePack"),
        (lz4_frame(msgpack.packb([1])), "expected named fields, found a list"),
        (lz4_frame(msgpack.packb({1: 2})), "expected named fields, found an object"),
        (lz4_frame(msgpack.packb({"a": b"\xff"}, use_bin_type=False)), "MessagePack"),
    ],
)
def test_a_damaged_text_record_is_named(entry, value, message):
    with pytest.raises(InputError) as error:
        text_record(entry(value))
    assert "data.mdb[v1]: " in str(error.value) and message in str(error.value)
