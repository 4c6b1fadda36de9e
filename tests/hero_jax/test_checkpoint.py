import asyncio
import itertools
import json
import logging
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax import checkpoint, integrity, late_reads, sharding
from hero_jax.checkpoint import Checkpoints
from hero_jax.errors import BusyError, UserError
from hero_jax.sharding import MeshConfig

# A failed read of Orbax leaves tasks behind that complain when they are collected.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)

DATA = {"seed": 5, "tasks.vsm.batch_size": 8}


def state(number, mesh=None):
    """A small state; `number` tells one step's from another's."""
    rng = np.random.default_rng(number)
    kernel = rng.standard_normal((2, 16, 24)).astype(np.float32)
    params = {"layers": {"inner": {"kernel": kernel}}, "bias": np.ones(3, np.float32)}
    rest = {"step": np.int32(number), "mu": (params, np.arange(4, dtype=np.uint32))}
    tree = {"params": params, "training": rest}
    mesh = mesh or sharding.make_mesh(MeshConfig())
    return jax.device_put(tree, sharding.of_state(tree, mesh))


def abstract(tree):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree
    )


def save(run_dir, *steps, keep=3):
    run_dir.mkdir(exist_ok=True)
    saved = Checkpoints(run_dir, keep=keep)
    for step in steps:
        assert saved.save(step, state(step), config={}, data=DATA)
    saved.close()
    return run_dir


def restore(run_dir, target=None, data=DATA):
    saved = Checkpoints(run_dir, keep=3)
    try:
        return saved.restore(abstract(target or state(0)), data=data)
    finally:
        saved.close()


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    return save(tmp_path_factory.mktemp("two") / "run", 4, 8)


@pytest.fixture
def run_dir(two_steps, tmp_path):
    return shutil.copytree(two_steps, tmp_path / "run")


def test_the_newest_state_comes_back_bit_for_bit(run_dir):
    step, items = restore(run_dir)
    assert step == 8
    assert integrity.describe(items) == integrity.describe(state(8))


@pytest.mark.parametrize("grid", [(8, 1), (4, 2), (1, 8)])
def test_it_comes_back_on_any_mesh(run_dir, grid):
    target = state(0, sharding.make_mesh(MeshConfig(*grid)))
    _, items = restore(run_dir, target)
    placed = jax.tree.map(lambda a, b: a.sharding == b.sharding, items, target)
    assert jax.tree.all(placed)
    assert integrity.describe(items) == integrity.describe(state(8))


def test_nothing_saved_is_nothing_restored(tmp_path):
    assert restore(tmp_path) is None


def test_old_steps_make_room_but_two_are_kept(tmp_path):
    run_dir = save(tmp_path / "run", 1, 2, 3, 4, keep=2)
    assert {p.name for p in (run_dir / "checkpoints").iterdir()} == {"3", "4"}


def test_parameters_are_read_without_model_data_or_lock(run_dir):
    with checkpoint.RunLock(run_dir):
        step, params = checkpoint.load_params(run_dir)
    expected = state(8)["params"]
    assert step == 8
    assert integrity.describe(params) == integrity.describe(expected)
    assert checkpoint.load_params(run_dir, 4)[0] == 4
    with pytest.raises(UserError, match="no undamaged checkpoint of step 5"):
        checkpoint.load_params(run_dir, 5)


# --- Damage ---


def flip(path, rng):
    content = bytearray(path.read_bytes())
    if content:
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def truncate(path, rng):
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(len(content) + 1))])


def blank(path, rng):
    content = path.read_bytes()
    path.write_bytes(bytes(min(512, len(content))) + content[512:])


def delete(path, rng):
    path.unlink()


HARMS = (flip, truncate, blank, delete)


def files(run_dir, step=8):
    folder = run_dir / "checkpoints" / str(step)
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())


def damage_and_restore(two_steps, run_dir, number, harm, seed):
    """Which step came back, after a check that it is exactly what was saved."""
    shutil.rmtree(run_dir, ignore_errors=True)
    shutil.copytree(two_steps, run_dir)
    harm(
        run_dir / "checkpoints/8" / files(run_dir)[number], np.random.default_rng(seed)
    )
    step, items = restore(run_dir)
    assert integrity.describe(items) == integrity.describe(state(step))
    assert (run_dir / "quarantine").exists() == (step == 4)
    return step


def test_a_damaged_file_never_loads_as_something_else(two_steps, tmp_path):
    """Every file once, the harms taking turns."""
    numbers = range(len(files(two_steps)))
    steps = [
        damage_and_restore(two_steps, tmp_path / "run", number, harm, number)
        for number, harm in zip(numbers, itertools.cycle(HARMS))
    ]
    assert set(steps) == {4, 8}  # some files hold nothing that is needed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_damage_ever_loads_as_something_else(two_steps, tmp_path, seed):
    for number, harm in itertools.product(range(len(files(two_steps))), HARMS):
        damage_and_restore(two_steps, tmp_path / "run", number, harm, seed)


def data_files(run_dir, step=8):
    """The files that hold array bytes."""
    return [p for p in files(run_dir, step) if "d" in p.parts[:-1]]


def test_a_flipped_bit_of_an_array_sends_the_run_to_the_older_step(run_dir, caplog):
    target = run_dir / "checkpoints/8" / data_files(run_dir)[0]
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 16
    target.write_bytes(content)
    saved = Checkpoints(run_dir, keep=3)
    with caplog.at_level(logging.WARNING):
        assert saved.restore(abstract(state(0)), data=DATA)[0] == 4
    assert "step 8 is damaged" in caplog.text
    (kept,) = (run_dir / "quarantine").iterdir()
    assert kept.name.startswith("8-")
    # Earlier steps and the one that was set aside can be saved again.
    for step in (6, 8):
        assert saved.save(step, state(step), config={}, data=DATA)
    saved.finish(8)
    assert saved.steps() == [4, 6, 8]


def test_reading_parameters_passes_a_damaged_step_by_and_leaves_it(run_dir):
    (run_dir / "checkpoints/8/record/metadata").write_text("{}")
    assert checkpoint.load_params(run_dir)[0] == 4
    assert not (run_dir / "quarantine").exists()


def test_a_changed_record_is_damage(run_dir):
    path = run_dir / "checkpoints/8/record/metadata"
    record = json.loads(path.read_text())
    record["data"]["seed"] = 6
    path.write_text(json.dumps(record))
    assert restore(run_dir)[0] == 4


def test_another_step_under_the_name_of_the_newest_is_damage(run_dir):
    shutil.rmtree(run_dir / "checkpoints/8")
    shutil.copytree(run_dir / "checkpoints/4", run_dir / "checkpoints/8")
    assert restore(run_dir)[0] == 4
    assert [path.name[:2] for path in (run_dir / "quarantine").iterdir()] == ["8-"]


# --- What does not fit ---


def test_other_data_is_refused_and_nothing_is_set_aside(run_dir):
    with pytest.raises(UserError, match="batch_size: this run began with 8, found 16"):
        restore(run_dir, data=DATA | {"tasks.vsm.batch_size": 16})
    with pytest.raises(UserError, match="new: this run began with 'absent', found 1"):
        restore(run_dir, data=DATA | {"new": 1})
    assert not (run_dir / "quarantine").exists()


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (jnp.ones(4), r"params/bias: the checkpoint has float32\[3\], this model .*4"),
        (jnp.ones(3, jnp.bfloat16), r"params/bias: .*float32\[3\].*bfloat16\[3\]"),
        ({"a": jnp.ones(3)}, "params/bias: only the checkpoint has it"),
    ],
)
def test_a_leaf_of_another_model_is_named(run_dir, bias, message):
    target = state(0)
    target["params"]["bias"] = bias
    with pytest.raises(UserError, match=message) as error:
        restore(run_dir, target)
    assert "\n" not in str(error.value)


def test_another_format_is_refused_by_number(run_dir):
    path = run_dir / "checkpoints/8/record/metadata"
    record = json.loads(path.read_text()) | {"format": 99}
    record.pop(integrity.SELF)
    path.write_text(json.dumps(integrity.seal(record)))
    with pytest.raises(UserError, match="format 99, this program reads 1"):
        restore(run_dir)


# --- Faults around saving ---


def test_what_a_kill_left_of_a_save_is_swept(run_dir):
    leftover = run_dir / "checkpoints" / "12.orbax-checkpoint-tmp"
    (leftover / "params").mkdir(parents=True)
    assert restore(run_dir)[0] == 8
    assert not leftover.exists()


def test_a_full_disk_is_told_once_and_the_run_goes_on(run_dir, monkeypatch, caplog):
    full = shutil.disk_usage(run_dir)._replace(free=1000)
    saved = Checkpoints(run_dir, keep=3)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: full)
        assert not saved.save(12, state(12), config={}, data=DATA)
        assert "1,000 bytes free" in caplog.text
    assert saved.save(16, state(16), config={}, data=DATA)
    saved.finish(16)
    assert saved.steps() == [4, 8, 16]


def test_after_three_failures_the_run_stops_with_a_reason(run_dir, monkeypatch):
    full = shutil.disk_usage(run_dir)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    saved = Checkpoints(run_dir, keep=3)
    for step in (12, 16):
        assert not saved.save(step, state(step), config={}, data=DATA)
    with pytest.raises(BusyError, match="gave up after 3 failures"):
        saved.save(20, state(20), config={}, data=DATA)


def test_a_save_that_fails_in_the_background_is_noticed(run_dir, monkeypatch, caplog):
    saved = Checkpoints(run_dir, keep=3)

    def fail():
        patch.undo()
        raise ValueError("RESOURCE_EXHAUSTED: no space left\nand more")

    with monkeypatch.context() as patch:
        patch.setattr(saved._manager, "wait_until_finished", fail)
        with pytest.raises(BusyError, match="step 12 could not be saved"):
            saved.finish(12)
    assert "RESOURCE_EXHAUSTED: no space left; trying again" in caplog.text
    assert saved.save(12, state(12), config={}, data=DATA)
    saved.finish(12)


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        checkpoint.check_writable(tmp_path / "file" / "run")


def test_the_lock_ends_with_its_holder(tmp_path):
    for _ in range(2):
        with (
            checkpoint.RunLock(tmp_path),
            pytest.raises(BusyError, match="is at work here"),
            checkpoint.RunLock(tmp_path),
        ):
            pass


def test_answers_to_a_closed_loop_are_forgotten():
    policy = asyncio.get_event_loop_policy()
    with late_reads.forgotten():
        loop = asyncio.new_event_loop()
    assert asyncio.get_event_loop_policy() is policy
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    loop.close()
    loop.call_soon_threadsafe(print, "late")
