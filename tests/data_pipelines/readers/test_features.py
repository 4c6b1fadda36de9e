import io
import os
import zipfile

import numpy as np
import pytest

from data_pipelines.readers.errors import InputError
from data_pipelines.readers.features import Header, read_features, read_header

FRAMES = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "v1.npz"


def save(file, values=FRAMES, **others):
    np.savez(file, features=values, **others)
    return file


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_features_are_read_as_they_were_saved(file, dtype, order):
    values = np.asarray(FRAMES, dtype, order=order)
    read = read_features(save(file, values))
    np.testing.assert_array_equal(read, FRAMES)
    assert read.dtype == (np.float16 if dtype is np.float16 else np.float32)


def test_compressed_files_and_further_arrays_are_fine(file):
    np.savez_compressed(file, other=np.zeros(3), features=FRAMES)
    np.testing.assert_array_equal(read_features(file), FRAMES)
    np.savez_compressed(file, features=np.zeros((1000, 1000), np.float32))
    assert read_features(file).shape == (1000, 1000)


def test_a_header_tells_the_shape_without_the_values(file):
    assert read_header(save(file)) == Header(4, 3, np.dtype(np.float32))


def refused(file, **options):
    with pytest.raises(InputError) as error:
        read_features(file, **options)
    said = str(error.value)
    assert said.startswith(str(file))
    assert "\n" not in said
    assert len(said) < 400
    return said


def with_value(value, dtype=np.float32):
    values = np.zeros((4, 3), dtype)
    values[2, 1] = value
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(5, np.float32), "features: has shape (5,), expected (frames, width)"),
        (np.zeros((2, 3, 4), np.float32), "has shape (2, 3, 4), expected (frames, "),
        (np.zeros((0, 3), np.float32), "has shape (0, 3), so there is no frame"),
        (np.zeros((3, 0), np.float32), "has shape (3, 0), so there is no frame"),
        (np.zeros((4, 3), np.int64), "has type int64, expected float16"),
        (np.zeros((4, 3), np.complex64), "has type complex64"),
        (np.zeros((4, 3), np.longdouble), "expected float16, float32 or float64"),
        (np.array([["a"]]), "has type <U1"),
        (with_value(np.nan), "features: nan at frame 2, column 1"),
        (with_value(-np.inf), "features: -inf at frame 2, column 1"),
        (with_value(np.inf, np.float16), "features: inf at frame 2, column 1"),
        (with_value(1e300, np.float64), "features: 1e+300 at frame 2, column 1"),
    ],
)
def test_bad_values_are_named(file, values, message):
    assert message in refused(save(file, values))


def test_objects_are_never_unpickled(file):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(file) + ".ran",)

    np.savez(file, features=np.array([[Bomb()]], dtype=object), allow_pickle=True)
    assert "has type object" in refused(file)
    assert not os.path.exists(str(file) + ".ran")


def test_another_width_is_named(file):
    message = "features: is 3 wide, expected 8 as in the other files"
    assert message in refused(save(file), width=8)


def test_a_missing_key_is_answered_with_the_keys_there_are(file):
    np.savez(file, feature=FRAMES, b=FRAMES)
    assert "found ['feature', 'b']" in refused(file)


def test_a_missing_file_is_named(file):
    assert "is missing" in refused(file)


def test_a_plain_npy_or_a_web_page_is_no_npz(file):
    with file.open("wb") as out:
        np.save(out, FRAMES)
    assert "is not a readable .npz" in refused(file)
    file.write_text("<html>404</html>")
    assert "is not a readable .npz" in refused(file)
    file.write_bytes(b"")
    assert "is not a readable .npz" in refused(file)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(file, kept):
    raw = save(file).read_bytes()
    file.write_bytes(raw[: int(len(raw) * kept)])
    assert "is the copy complete?" in refused(file)


def member(file, raw, **options):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", raw, **options)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(file):
    member(file, bytes(1 << 26))
    assert "unpacks from" in refused(file)


def test_a_header_that_promises_more_than_there_is_is_refused(file):
    raw = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
    np.lib.format.write_array_header_1_0(raw, header)
    member(file, raw.getvalue() + bytes(48))
    assert "has 48 bytes, but its shape" in refused(file)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 3}",
        "{'descr': '<f4', 'shape': (4, 3)}",
        "{'descr': 'junk', 'fortran_order': False, 'shape': (4, 3)}",
        "__import__('os').getcwd()",
        "(" * 5000,
        "'" + "x" * 70_000,
        "\x00\n",
    ],
)
def test_a_damaged_header_is_refused(file, header):
    text = header.encode("latin1")[:65_535]
    raw = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    member(file, raw + FRAMES.tobytes())
    refused(file)
