"""Files in `torch_files` were written by PyTorch 2.13; `expected` is their content."""

import io
import pickle
import random
import struct
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax import torch_file
from hero_jax.torch_pickle import Storage, Tensor, TorchFileError, dump

FILES = Path(__file__).with_name("torch_files")
FORMATS = ("zip", "stream", "protocol4")


def expected():
    word = (np.arange(24, dtype=np.float32) / np.float32(7)).reshape(6, 4)
    return {
        "word": word,
        "vocab_padded": True,
        "tied": word,
        "transposed": word.T,
        "sliced": word[1:3, ::2],
        "window": np.arange(10, 20, dtype=np.float32),
        "half": word.astype(np.float16),
        "bfloat16": word.astype(jnp.bfloat16),
        "double": word.astype(np.float64),
        "flag": np.array([True, False]),
        "byte": np.arange(3, dtype=np.uint8),
        "long": np.arange(4),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "parameter": word,
    }


def assert_same(found, wanted):
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        if not isinstance(value, np.ndarray):
            assert found[name] is value, name
            continue
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        assert np.array_equal(found[name], value), name


@pytest.mark.parametrize("name", FORMATS)
def test_what_pytorch_wrote_is_read_value_for_value(name):
    assert_same(torch_file.read_state(FILES / f"{name}.pt"), expected())


@pytest.mark.parametrize("is_legacy", [False, True])
def test_what_is_written_is_read_again(tmp_path, is_legacy):
    path = tmp_path / "weights.pt"
    torch_file.write_state(path, expected(), is_legacy=is_legacy)
    assert_same(torch_file.read_state(path), expected())
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pt"]


@pytest.mark.parametrize("is_legacy", [False, True])
def test_what_is_written_is_read_by_pytorch(tmp_path, is_legacy):
    torch = pytest.importorskip("torch")
    path = tmp_path / "weights.pt"
    torch_file.write_state(path, expected(), is_legacy=is_legacy)
    for weights_only in (True, False):
        found = torch.load(path, weights_only=weights_only)
        assert list(found) == list(expected())
        for name, value in expected().items():
            if name == "bfloat16":
                assert torch.equal(found[name], found["word"].bfloat16())
            elif isinstance(value, np.ndarray):
                assert_same({name: found[name].detach().numpy()}, {name: value})
        assert found["vocab_padded"] is True


def test_one_array_under_two_names_is_written_once(tmp_path):
    word = np.ones((50, 30), np.float32)
    torch_file.write_state(tmp_path / "one.pt", {"a": word})
    torch_file.write_state(tmp_path / "two.pt", {"a": word, "b": word})
    sizes = [(tmp_path / name).stat().st_size for name in ("one.pt", "two.pt")]
    assert sizes[1] - sizes[0] < 300


def test_values_in_a_zip_file_begin_where_pytorch_maps_them(tmp_path):
    path = tmp_path / "weights.pt"
    torch_file.write_state(path, expected())
    raw = path.read_bytes()
    for info in zipfile.ZipFile(path).infolist():
        name, extra = struct.unpack("<HH", raw[info.header_offset + 26 :][:4])
        assert (info.header_offset + 30 + name + extra) % torch_file.ALIGNMENT == 0


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def zip_with(tree, **data):
    return zip_of({"data.pkl": tree, **{f"data/{k[1:]}": v for k, v in data.items()}})


class Command:
    def __reduce__(self):
        return print, ("this must never be printed",)


def tensor(shape, strides, *, size=4, offset=0):
    """A pickle of one tensor, sound or not, over a storage of `size` float32 values."""
    storage = Storage(np.dtype("<f4"), "0", size)
    return dump({"x": Tensor(storage, offset, shape, strides)})


FOUR = b"\0" * 16
NESTED = b"\x80\x02)" + b"\x85" * 200_000 + b"K\x01"

EVIL = {
    "a command": (zip_with(pickle.dumps({"x": Command()}, 2)), "print"),
    "a command before the tensors": (pickle.dumps(Command(), 2), "print"),
    "a name through STACK_GLOBAL": (zip_with(pickle.dumps(Command(), 4)), "print"),
    "a module to import": (zip_with(b"\x80\x02cos\nsystem\n."), "'os system'"),
    "text as a function": (zip_with(b"\x80\x02X\x01\x00\x00\x00a)R."), "no function"),
    "a type as a function": (zip_with(b"\x80\x02ctorch\nFloatStorage\n)R."), "call"),
    "a numpy array": (zip_with(pickle.dumps({"x": np.ones(3)}, 2)), "numpy"),
    "memory for a memo": (zip_with(b"\x80\x02Nr\xff\xff\xff\xff."), "NoneType"),
    "a long text": (zip_with(b"\x80\x02X\xff\xff\xff\xff."), "without an end"),
    "a long number": (zip_with(b"\x80\x02\x8b\xff\xff\xff\x7f."), "instruction"),
    "a tuple as key": (zip_with(NESTED[:-2] + b"}" + NESTED[2:-2] + b"Ns."), "key"),
    "nesting": (zip_with(NESTED + b"."), "a int"),
    "nothing": (zip_with(b""), "without an end"),
    "a list": (zip_with(b"\x80\x02]."), "a list, expected tensors by name"),
    "an unknown value": (zip_with(dump({"x": [1]})), "a list under 'x'"),
    "an empty stack": (zip_with(b"\x80\x02."), "damaged pickle"),
    "an expanded tensor": (zip_with(tensor((9, 9), (0, 0)), d0=FOUR), "outside"),
    "too large a tensor": (zip_with(tensor((5,), (1,)), d0=FOUR), "outside"),
    "an offset": (zip_with(tensor((4,), (1,), offset=1), d0=FOUR), "outside"),
    "a stride": (zip_with(tensor((2,), (4,)), d0=FOUR), "outside"),
    "a negative stride": (zip_with(tensor((2,), (-1,)), d0=FOUR), "negative"),
    "no values, huge sizes": (
        zip_with(tensor((0, 2**47, 2**47), (1, 1, 1)), d0=FOUR),
        "huge",
    ),
    "one name twice": (zip_with(b"\x80\x02}(X\x01\x00\x00\x00aK\x01"
                       b"X\x01\x00\x00\x00aK\x02u."), "two entries under 'a'"),
    "a number beyond all others": (zip_with(dump({"x": -(2**70)})), "a huge number"),
    "axes without strides": (zip_with(tensor((2,), ()), d0=FOUR), "1 axes, 0 strides"),
    "a huge storage": (zip_with(tensor((4,), (1,), size=2**40), d0=FOUR), "16 bytes"),
    "a missing storage": (zip_with(tensor((4,), (1,))), "none bytes for storage '0'"),
    "no pickle": (zip_of({"version": "3"}), "0 members called data.pkl"),
    "the other byte order": (
        zip_of({"data.pkl": tensor((4,), (1,)), "data/0": FOUR, "byteorder": "big"}),
        "little-endian",
    ),
    "an empty file": (b"", "without an end"),
    "a text": (b"v_encoder.pad 1 2 3\n", "instruction b'v'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", EVIL)
def test_an_evil_file_is_refused_in_one_line_and_runs_nothing(tmp_path, capfd, kind):
    content, complaint = EVIL[kind]
    path = tmp_path / "evil.pt"
    path.write_bytes(content)
    with pytest.raises(TorchFileError, match=complaint) as error:
        torch_file.read_state(path)
    message = str(error.value)
    assert str(path) in message and "\n" not in message and len(message) < 400
    assert capfd.readouterr().out == ""


def many_views(num_views: int, size: int) -> bytes:
    """One storage under many names."""
    storage = Storage(np.dtype("<f4"), "0", size)
    view = Tensor(storage, 0, (size,), (1,))
    return zip_with(dump({f"x{i}": view for i in range(num_views)}), d0=bytes(4 * size))


def compressed() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor((2**22,), (1,), size=2**22))
        archive.writestr("archive/data/0", bytes(2**24))
    return buffer.getvalue()


def overlapping(num_members: int, size: int) -> bytes:
    """Stored members, each of which reaches from its header to the end of the last."""
    names = [f"archive/data/{i:06}".encode() for i in range(num_members)]
    extra, body, headers = b"FB\x03\0ZZZ", bytes(size), []
    for name in reversed(names):
        crc, length = zlib.crc32(body), len(body)
        fixed = struct.pack(
            "<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, crc, length, length, len(name), 7
        )
        body = fixed + name + extra + body
        headers.append((name, crc, length, len(body)))
    storages = {
        name.decode().split("/")[-1]: length // 4 for name, _, length, _ in headers
    }
    tree = dump(
        {k: Tensor(Storage(np.dtype("<f4"), k, n), 0, (1,), (1,))
         for k, n in storages.items()}
    )  # fmt: skip
    name = b"archive/data.pkl"
    crc, length = zlib.crc32(tree), len(tree)
    first = struct.pack(
        "<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, crc, length, length, len(name), 0
    )
    first += name + tree
    whole = first + body
    places = [(name, crc, length, 0)]
    places += [(n, c, k, len(whole) - left) for n, c, k, left in headers]
    directory = b"".join(
        struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, c, k, k, len(n), 0, 0, 0, 0,
            0, place,
        ) + n
        for n, c, k, place in places
    )  # fmt: skip
    count, start = len(places), len(whole)
    end = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), start, 0
    )
    return whole + directory + end


BOMBS = {
    "overlaps": (overlapping(50, 2**20), "bytes, expected at most"),
    "views": (many_views(1000, 2**16), "unfold to many times"),
    "compression": (compressed(), "neither compressed"),
    "a long pickle": (zip_with(b"\x80\x02" + b"}" * 2**21), "data.pkl"),
    "arguments": (
        zip_with(
            b"\x80\x02ctorch._utils\n_rebuild_parameter\n(" + b"N" * 500_000 + b"tR."
        ),
        "with too many",
    ),
    "pushes": (b"\x80\x02" + b"}" * 2**20, "without an end"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path, kind):
    content, complaint = BOMBS[kind]
    path = tmp_path / "bomb.pt"
    path.write_bytes(content)
    tracemalloc.start()
    begin = time.process_time()
    with pytest.raises(TorchFileError, match=complaint):
        torch_file.read_state(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**29 and time.process_time() - begin < 30


@pytest.mark.parametrize("name", ["zip", "stream"])
def test_every_truncation_is_noticed(tmp_path, name):
    raw = (FILES / f"{name}.pt").read_bytes()
    path = tmp_path / "short.pt"
    for length in range(0, len(raw), 7):
        path.write_bytes(raw[:length])
        with pytest.raises(TorchFileError):
            torch_file.read_state(path)


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, removed, repeated or exchanged."""
    content = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        place, length = rng.randrange(len(content)), rng.randint(1, 12)
        kind = rng.randrange(4)
        if kind == 0:
            content[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[place : place + length]
        elif kind == 2:
            content[place:place] = content[place : place + length]
        else:
            content[place : place + length] = rng.randbytes(length)
    return bytes(content)


@pytest.mark.parametrize("name", ["zip", "stream"])
def test_a_mutated_file_is_read_or_refused_and_never_anything_else(tmp_path, name):
    raw = (FILES / f"{name}.pt").read_bytes()
    rng, path, refusals = random.Random(77), tmp_path / "mutant.pt", []
    for _ in range(1500):
        path.write_bytes(mutated(raw, rng))
        try:
            for value in torch_file.read_state(path).values():
                np.asarray(value).sum()
        except TorchFileError as error:
            refusals.append(str(error))
    assert len(refusals) > 1000
    assert not any("\n" in refusal for refusal in refusals)


def test_in_a_zip_file_every_flipped_bit_of_a_value_is_noticed(tmp_path):
    raw = (FILES / "zip.pt").read_bytes()
    value = expected()["word"].tobytes()
    path = tmp_path / "flipped.pt"
    for offset in range(0, len(value), 5):
        flipped = bytearray(raw)
        flipped[raw.index(value) + offset] ^= 4
        path.write_bytes(bytes(flipped))
        with pytest.raises(TorchFileError, match="CRC"):
            torch_file.read_state(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TorchFileError, match="none.pt: cannot be read"):
        torch_file.read_state(tmp_path / "none.pt")
