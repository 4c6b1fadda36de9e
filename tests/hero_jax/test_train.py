import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax import checkpoint, integrity
from hero_jax import train as training
from hero_jax.errors import BusyError, UserError
from hero_jax.logs import read_lines
from hero_jax.optimizer import OptimizerConfig
from hero_jax.sharding import MeshConfig
from hero_jax.train import train
from tests import toy


def digest(state):
    return integrity.describe(training.items(state))


def learner(config):
    return training.make_learner(config, training.make_pipelines(config))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A run of 12 steps, and its directory."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    return train(toy.config(), run_dir), run_dir


def test_a_run_writes_its_configuration_metrics_and_checkpoints(uninterrupted):
    _, run_dir = uninterrupted
    assert json.loads((run_dir / "config.json").read_text())["steps"] == 12
    lines = read_lines(run_dir / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert {line["task"] for line in lines} == {"first", "second"}
    for line in lines:
        assert np.isfinite(line[f"{line['task']}/loss"])
    kept = {path.name for path in (run_dir / "checkpoints").iterdir()}
    assert kept == {"8", "12"}


def test_training_reaches_every_parameter(uninterrupted):
    state, _ = uninterrupted
    first = learner(toy.config()).initial_state()
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), first.params, state.params)
    assert jax.tree.all(moved), moved


def test_a_finished_run_is_returned_as_it_is(uninterrupted):
    state, run_dir = uninterrupted
    before = (run_dir / "metrics.jsonl").read_bytes()
    assert digest(train(toy.config(), run_dir)) == digest(state)
    assert (run_dir / "metrics.jsonl").read_bytes() == before


class Stop(Exception):
    """Stands for whatever ends a process at a step."""


def interrupted(run_dir, at, config, error=Stop):
    def on_log(step, values):
        if step == at:
            raise error

    with pytest.raises(error):
        train(config, run_dir, on_log=on_log)


def test_a_run_that_was_interrupted_twice_ends_bit_for_bit_the_same(
    uninterrupted, tmp_path
):
    for at in (6, 9):
        interrupted(tmp_path, at, toy.config())
    assert digest(train(toy.config(), tmp_path)) == digest(uninterrupted[0])
    strip = lambda lines: [
        {k: v for k, v in line.items() if k != "videos_per_second"} for line in lines
    ]
    found, expected = (
        strip(read_lines(d / "metrics.jsonl")) for d in (tmp_path, uninterrupted[1])
    )
    assert found == expected


def test_sigterm_saves_and_exits_with_143(uninterrupted, tmp_path):
    def on_log(step, values):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    previous = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as exit_:
        train(toy.config(), tmp_path, on_log=on_log)
    assert exit_.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == previous
    assert checkpoint.load_params(tmp_path)[0] == 5
    assert digest(train(toy.config(), tmp_path)) == digest(uninterrupted[0])


def other_tasks(**changes):
    tasks = toy.config().tasks
    return tasks | {"first": dataclasses.replace(tasks["first"], **changes)}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"seed": 6}, "seed"),
        ({"accumulation": 2}, "accumulation"),
        ({"tasks": other_tasks(batch_size=16)}, "tasks.first.batch_size"),
        ({"tasks": other_tasks(num_examples=41)}, "tasks.first.num_examples"),
        ({"tasks": other_tasks(weight=3)}, "tasks.first.weight"),
        ({"tasks": toy.config().tasks | {"third": toy.Toy()}}, "tasks.third"),
        ({"model": dataclasses.replace(toy.hero_config(), dropout=0.3)}, "model.drop"),
        ({"optimizer": OptimizerConfig(kind="optax")}, "optimizer.kind"),
        ({"pack_groups": 2}, "num_groups"),
    ],
)
def test_going_on_with_something_else_is_refused_by_name(uninterrupted, changes, field):
    with pytest.raises(UserError, match=field) as error:
        train(toy.config(steps=20, **changes), uninterrupted[1])
    assert "\n" not in str(error.value)
    assert not (uninterrupted[1] / "quarantine").exists()


def test_fresh_wants_an_empty_directory(uninterrupted, tmp_path):
    with pytest.raises(UserError, match="empty directory, found"):
        train(toy.config(), uninterrupted[1], fresh=True)
    train(toy.config(steps=1), tmp_path / "new", fresh=True)


def test_a_directory_in_use_names_its_holder(tmp_path):
    with (
        checkpoint.RunLock(tmp_path),
        pytest.raises(BusyError, match=f"process {os.getpid()} on ") as error,
    ):
        train(toy.config(), tmp_path)
    assert error.value.exit_code == 75


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: found 0"),
        ({"keep": 1}, "keep: found 1; expected 2"),
        ({"tasks": {}}, "tasks: found none"),
        ({"mesh": MeshConfig(data=3)}, "batch_size: found 8.*mesh.data 3; use 9"),
        ({"pack_groups": 2, "mesh": MeshConfig(data=4)}, "pack_groups: found 2"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        train(toy.config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def poisoned(**changes):
    tasks = {"first": toy.Toy(poison_from=6)}
    return toy.config(tasks=tasks, **changes)


def test_a_loss_that_is_not_finite_never_reaches_the_weights(tmp_path):
    seen = []
    with pytest.raises(UserError, match="loss nan.*4 steps in a row") as error:
        train(
            poisoned(max_bad_steps=4, save_every=1),
            tmp_path,
            on_log=lambda step, values: seen.append(values["num_bad"]),
        )
    assert "\n" not in str(error.value)
    assert seen == [0] * 6 + [1, 2, 3]
    step, params = checkpoint.load_params(tmp_path)
    assert step == 9
    assert integrity.is_finite(params)


def test_a_skipped_step_changes_nothing_but_its_number():
    config = poisoned()
    maker = learner(config)
    batches = training.draw_batches(
        config, training.make_pipelines(config), maker.mesh, 0
    )
    _, batch = next(batches)
    state = maker.initial_state()
    state = dataclasses.replace(state, step=jnp.int32(7))
    before = digest(state)
    state, metrics = maker.step(state, batch, task="first")
    after = digest(state)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"training/step", "training/num_bad"}
    assert metrics["num_bad"] == 1


def test_micro_batches_are_summed_or_averaged():
    """Two micro-batches of 8 equal a batch of their mean gradient, or twice that."""
    base = toy.config(tasks={"first": toy.Toy()})
    norms = {}
    for is_mean in (False, True):
        config = dataclasses.replace(base, accumulation=2, is_accumulation_mean=is_mean)
        maker, pipelines = learner(config), training.make_pipelines(config)
        _, batch = next(training.draw_batches(config, pipelines, maker.mesh, 0))
        assert batch.given.shape == (2, 8, 4)
        _, metrics = maker.step(maker.initial_state(), batch, task="first")
        norms[is_mean] = metrics["grad_norm"], metrics["loss"]
    np.testing.assert_allclose(norms[False][0], 2 * norms[True][0], rtol=1e-5)
    np.testing.assert_allclose(norms[False][1], norms[True][1], rtol=1e-6)


def test_each_micro_batch_has_its_own_dropout():
    config = toy.config(tasks={"first": toy.Toy()}, accumulation=2)
    maker, pipelines = learner(config), training.make_pipelines(config)
    _, batch = next(training.draw_batches(config, pipelines, maker.mesh, 0))
    same = jax.tree.map(lambda x: jnp.stack([x[0], x[0]]), batch)
    one = learner(dataclasses.replace(config, accumulation=1))
    single = jax.tree.map(lambda x: x[:1], batch)
    _, metrics = maker.step(maker.initial_state(), same, task="first")
    _, alone = one.step(one.initial_state(), single, task="first")
    assert abs(metrics["loss"] - alone["loss"]) > 1e-4


def test_runs_that_differ_in_their_tasks_begin_with_the_same_encoder():
    """Parameters depend on their path and the seed alone."""
    both = learner(toy.config()).initial_state().params
    alone = learner(toy.config(tasks={"first": toy.Toy()})).initial_state().params
    meshed = learner(toy.config(mesh=MeshConfig(4, 2))).initial_state().params
    for other in (alone, {name: meshed[name] for name in alone}):
        same = jax.tree.map(
            lambda a, b: np.array_equal(a, b), {n: both[n] for n in alone}, other
        )
        assert jax.tree.all(same), same


def test_evaluation_sees_the_whole_parameters_on_any_mesh(tmp_path):
    found = {}
    for grid in ((1, 1), (4, 2)):
        config = toy.config(steps=2, eval_every=2, mesh=MeshConfig(*grid))
        train(config, tmp_path / str(grid[0]))
        found[grid] = read_lines(tmp_path / str(grid[0]) / "metrics.jsonl")[-1]
    for name in ("val/first/bias/word", "val/second/bias/word"):
        np.testing.assert_allclose(found[1, 1][name], found[4, 2][name], rtol=1e-4)
