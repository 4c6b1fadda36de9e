"""Damaged and hostile weight files: one line, exit code 2, bounded memory, no run.

The file is a whole released checkpoint (of a tiny model), so that damage reaches every
part of it: pickle, keys, sizes, values.
"""

import pickle
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hero_jax import cli, importing, torch_file
from hero_jax.torch_pickle import Storage, Tensor, dump

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CONFIG = GOLDEN / "config/hero_finetune_tiny.json"
FILE_LIMIT = 2**21
"""Bytes that reading a damaged file of 200 kB may take at once: some copies of it."""


def released(path, *, is_legacy=False, dtype=np.float16):
    """A checkpoint as HERO saves it: half precision, a flag among the tensors."""
    state = load_file(GOLDEN / "weights/vr.safetensors")
    state = {name: value.astype(dtype) for name, value in state.items()}
    torch_file.write_state(path, state | {"vocab_padded": True}, is_legacy=is_legacy)
    return path.read_bytes()


@pytest.fixture(scope="module", params=["zip", "stream"])
def raw(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "hero.pt"
    return released(path, is_legacy=request.param == "stream")


def run_import(monkeypatch, capsys, path, run_dir):
    """Exit code of `hero-jax import`, and what it printed."""
    arguments = ["hero-jax", "import", str(path), str(run_dir), "--config", str(CONFIG)]
    monkeypatch.setattr(sys, "argv", arguments)
    try:
        cli.main()
        code = 0
    except SystemExit as exit:
        code = exit.code
    return code, capsys.readouterr()


def is_refused(outcome, run_dir):
    """Code 2, one line that says what is wrong, and nothing written."""
    code, printed = outcome
    lines = printed.err.splitlines()
    return (
        code == 2
        and printed.out == ""
        and len(lines) == 1
        and lines[0].startswith("error: ")
        and len(lines[0]) < 2000
        and not (run_dir / "checkpoints").exists()
    )


def damaged(raw, rng, kind):
    content = bytearray(raw)
    if kind == "cut":
        return raw[: rng.randrange(len(raw))]
    if kind == "bits":
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "head":  # where the structure of a stream stands
        content[rng.randrange(2000)] = rng.randrange(256)
    elif kind == "tail":  # where that of a zip file stands
        content[-1 - rng.randrange(2000)] = rng.randrange(256)
    elif kind == "block":
        start, length = rng.randrange(len(content)), rng.randint(1, 4000)
        content[start : start + length] = rng.randbytes(length)
    else:
        start, length = rng.randrange(len(content)), rng.randint(1, 4000)
        del content[start : start + length]
    return bytes(content)


KINDS = ("cut", "bits", "head", "tail", "block", "gap")


def shapes_of(path):
    """What the parameters of an intact file look like."""
    state = importing.weight_files.read(path)
    config = importing.read_config(CONFIG, state)
    parts = importing.pretrained.parts_of(state)
    return importing.pretrained.hero_shapes(config.model, parts)


def is_read(path, shapes):
    """True if the file still is one of weights; else it is refused in one line."""
    try:
        state = importing.weight_files.read(path)
    except ValueError as error:
        problem = error
    else:
        return not str(importing.differences(state, shapes))
    assert is_one_line(problem), repr(problem)
    return False


def is_one_line(problem):
    message = str(problem)
    return problem.exit_code == 2 and "\n" not in message and len(message) < 2000


def fuzz(raw, folder, *, rounds, seed):
    """How many of each kind were read after all: values may change unseen in a stream,
    which has no checksum."""
    rng, path = random.Random(seed), folder / "damaged.pt"
    path.write_bytes(raw)
    shapes = shapes_of(path)
    assert is_read(path, shapes)
    intact = dict.fromkeys(KINDS, 0)
    tracemalloc.start()
    for number in range(rounds):
        kind = KINDS[number % len(KINDS)]
        path.write_bytes(damaged(raw, rng, kind))
        tracemalloc.reset_peak()
        begin, _ = tracemalloc.get_traced_memory()
        intact[kind] += is_read(path, shapes)
        _, peak = tracemalloc.get_traced_memory()
        assert peak - begin < FILE_LIMIT + 8 * len(raw), (kind, number)
    tracemalloc.stop()
    return intact


def test_damaged_files_are_refused_and_take_little_memory(raw, tmp_path):
    intact = fuzz(raw, tmp_path, rounds=36, seed=5)
    assert intact["cut"] == intact["gap"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_damaged_files_are_refused(raw, tmp_path, seed):
    intact = fuzz(raw, tmp_path, rounds=3000, seed=seed)
    assert intact["cut"] == intact["gap"] == 0


@pytest.mark.parametrize("kind", ["cut", "gap"])
def test_the_command_ends_in_one_line(raw, kind, tmp_path, monkeypatch, capsys):
    path, run_dir = tmp_path / "damaged.pt", tmp_path / "run"
    path.write_bytes(damaged(raw, random.Random(3), kind))
    outcome = run_import(monkeypatch, capsys, path, run_dir)
    assert is_refused(outcome, run_dir), outcome


class Shell:
    """What a hostile file would do to a reader that unpickles."""

    def __reduce__(self):
        return exec, ("open('owned', 'w').close()",)


def hostile():
    """Name -> the bytes of a file that wants something."""
    huge = Storage(np.dtype("<f4"), "0", 2**40)
    view = Tensor(huge, 0, (2**40,), (1,))
    name = "v_encoder.f_encoder.embeddings.word_embeddings.weight"
    nested = b"\x80\x02" + b"]" * 10 + b"(" * 100_000 + b"."
    return {
        "a command": pickle.dumps({name: Shell()}, 2),
        "a command in protocol 5": pickle.dumps({name: Shell()}, 5),
        "a terabyte": stream_of(dump({name: view})),
        "deep nesting": nested,
        "a billion laughs": b"\x80\x02]q\x00" + b"(h\x00h\x00h\x00e" * 30 + b".",
        "an installer": b"\x80\x02cpip\nmain\n(X\x07\x00\x00\x00installtR.",
        "builtins by a dotted name": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
        "an extension code": b"\x80\x02\x82\x01.",
        "a persistent id": b"\x80\x02Q.",
        "text of nothing": b"\x00" * 64,
    }


def stream_of(entries):
    """The older format around some pickled entries."""
    parts = [torch_file.MAGIC, torch_file.PROTOCOL, torch_file.SYSTEM]
    return (
        b"".join(pickle.dumps(p, 2) for p in parts) + entries + pickle.dumps(["0"], 2)
    )


@pytest.mark.parametrize("name", sorted(hostile()))
def test_a_hostile_file_does_nothing(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path, run_dir = tmp_path / "hostile.pt", tmp_path / "run"
    path.write_bytes(hostile()[name])
    outcome = run_import(monkeypatch, capsys, path, run_dir)
    assert is_refused(outcome, run_dir), outcome
    assert [p.name for p in tmp_path.iterdir()] == ["hostile.pt"]


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from pathlib import Path
from hero_jax import torch_file
try:
    torch_file.read_state(Path(sys.argv[2]))
except ValueError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory")
@pytest.mark.parametrize("name", sorted(hostile()))
def test_a_hostile_file_is_refused_within_four_gigabytes(name, tmp_path):
    """In a process that may have no more, whatever tracemalloc does not see."""
    path = tmp_path / "hostile.pt"
    path.write_bytes(hostile()[name])
    command = [sys.executable, "-c", LIMITED, str(2**32), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and str(path) in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("is_legacy", [False, True])
def test_a_checkpoint_that_pytorch_wrote_is_imported(tmp_path, is_legacy):
    """By PyTorch itself where it is installed; else written as it does."""
    torch = pytest.importorskip("torch")
    state = load_file(GOLDEN / "weights/vr.safetensors")
    tensors = {n: torch.from_numpy(v.copy()).half() for n, v in state.items()}
    path = tmp_path / "model_step_4800.pt"
    torch.save(
        tensors | {"vocab_padded": True},
        path,
        _use_new_zipfile_serialization=not is_legacy,
    )
    importing.import_file(path, tmp_path / "run", config_path=CONFIG)
    found = torch_file.read_state(path)
    assert list(found) == [*state, "vocab_padded"]
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value.astype(np.float16))
