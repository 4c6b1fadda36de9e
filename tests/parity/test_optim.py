"""Schedules, AdamW, parameter groups and whole trajectories of the official code."""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import parity_cases
import pretraining_cases
import pytest
from parity_harness import Case

from hero_jax import optimizer, pretrained
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.optimizer import OptimizerConfig
from hero_jax.paths import named_leaves, path_name

NOT_YET = {
    "schedules": {"vqa_schedule"},  # in the official file, called by no script
    "trajectories": {"traj_videoqa"},  # needs QA
}


def tables(golden):
    """(function, arguments, steps, values) of every recorded table."""
    recorded = json.loads((golden.root / "optim/schedules.json").read_text())
    steps = {len(recorded[k]): recorded[k] for k in ("steps", "pretrain_steps")}
    for key, values in recorded.items():
        match = re.fullmatch(r"(\w+)\((.*)\)", key)
        if match:
            pairs = (pair.split("=") for pair in match[2].split(","))
            arguments = {name: float(value) for name, value in pairs}
            yield match[1], arguments, steps[len(values)], values


def test_schedules_are_the_recorded_ones(golden):
    functions = {
        "noam": lambda s, a: optimizer.noam(s, a["warmup"]),
        "warmup_linear": lambda s, a: optimizer.warmup_linear(
            s, a["warmup"], a["total"]
        ),
        "get_lr_sched": lambda s, a: optimizer.make_schedule(
            OptimizerConfig(learning_rate=a["lr"], warmup_steps=a["warmup"]),
            a["total"],
        )(s - 1),
    }
    seen = set()
    for name, arguments, steps, values in tables(golden):
        seen.add(name)
        if name not in NOT_YET["schedules"]:
            ours = functions[name](jnp.asarray(steps, float), arguments)
            np.testing.assert_allclose(ours, values, rtol=2e-6, err_msg=name)
    assert set(functions) <= seen


VARIANTS = ("base", "nobias", "accum2", "u_none", "u_zero")


def test_no_recorded_variant_of_adamw_is_left_out(golden):
    recorded = json.loads((golden.root / "optim/adamw_toy.json").read_text())
    assert set(recorded) - {"rule", "keys"} == set(VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_adamw_walks_as_recorded(golden, variant):
    case = json.loads((golden.root / "optim/adamw_toy.json").read_text())[variant]
    arrays = np.load(golden.root / "optim/adamw_toy.npz")
    recorded = lambda name: arrays[f"out/{variant}/{name}"]
    config = OptimizerConfig(learning_rate=5e-2, warmup_steps=2)
    schedule = optimizer.make_schedule(config, 8)
    rule = optax.chain(
        optimizer.clip_by_global_norm(1.0),
        optimizer.official_adamw(config, schedule, correct_bias=case["correct_bias"]),
    )
    # Our name rule decays W and u, as recorded, and leaves `bias` alone.
    params = {"W": arrays["in/W"], "bias": arrays["in/b"], "u": arrays["in/u"]}
    state = rule.init(params)
    for step in range(case["steps"]):
        grads, losses = toy_gradient(params, arrays, case, step)
        np.testing.assert_allclose(losses[-1], recorded("loss")[step], rtol=1e-5)
        norm = optax.tree.norm(grads)
        np.testing.assert_allclose(norm, recorded("grad_norm")[step], rtol=1e-5)
        np.testing.assert_allclose(schedule(step), recorded("lr")[step], rtol=1e-5)
        updates, state = rule.update(grads, state, params, step=jnp.asarray(step))
        params = optax.apply_updates(params, updates)
        for ours, theirs in {"W": "W", "bias": "b", "u": "u"}.items():
            np.testing.assert_allclose(params[ours], recorded(theirs)[step], atol=2e-6)
        for moment, name in [(state[1].mu, "exp_avg_W"), (state[1].nu, "exp_avg_sq_W")]:
            np.testing.assert_allclose(moment["W"], recorded(name)[step], rtol=1e-4)


def toy_gradient(params, arrays, case, step):
    """Summed over micro-batches; u has a gradient on the updates 2 and 5 alone."""
    has_u = case["u"] != "never" and step + 1 in (2, 5)

    def loss(params, rows):
        error = arrays["in/A"][rows] @ params["W"] + params["bias"]
        error = jnp.square(error - arrays["in/Y"][rows]).mean()
        return error + (0.1 * jnp.sum(params["u"] ** 3) if has_u else 0)

    size = 6 // case["accumulation"]
    parts = [
        jax.value_and_grad(loss)(params, slice(i * size, (i + 1) * size))
        for i in range(case["accumulation"])
    ]
    grads = jax.tree.map(lambda *g: sum(g), *(grad for _, grad in parts))
    if case["u"] == "zero":
        # A gradient that is there, though it is nought: too small for any moment.
        grads["u"] = jnp.where(grads["u"] == 0, 1e-30, grads["u"])
    return grads, [value for value, _ in parts]


def official_view(value_of_path):
    """Official name -> what a function says of our path to it."""
    config = HeroConfig(decoder=TransformerConfig(num_layers=2))
    shapes = pretrained.hero_shapes(config, tuple(pretrained.PARTS))
    marked = jax.tree.map_with_path(
        lambda path, leaf: np.broadcast_to(
            np.float32(value_of_path(f"hero/{path_name(path)}")), leaf.shape
        ),
        shapes,
    )
    official = pretrained.to_official(marked)
    return {name: float(array.flat[0]) for name, array in official.items()}


def test_weight_decay_and_multiplier_follow_the_official_name_rule(golden):
    recorded = json.loads((golden.root / "optim/param_groups.json").read_text())
    opts = recorded["opts"]
    config = OptimizerConfig(head_multiplier=opts["lr_mul"])
    decay = official_view(optimizer.is_decayed)
    times = official_view(lambda name: optimizer.multiplier(config, name))
    for groups in recorded["groups"].values():
        for group in groups:
            for name in group["params"]:
                if pretrained.UNUSED.fullmatch(name):
                    continue
                assert decay[name] == (group["weight_decay"] > 0), name
                rate = opts["learning_rate"] * times[name]
                np.testing.assert_allclose(rate, group["lr"], err_msg=name)


TRAJECTORIES = ("traj_vcmr", "traj_vcmr_accum2", "traj_pretrain")


def test_no_recorded_trajectory_is_left_out(golden):
    recorded = {path.stem for path in (golden.root / "optim").glob("traj_*.json")}
    assert recorded - NOT_YET["trajectories"] == set(TRAJECTORIES)


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_training_walks_as_recorded(golden, name):
    """A few updates, dropout off: losses, norms, rates, parameters."""
    path = golden.root / "optim" / name
    meta = json.loads(path.with_suffix(".json").read_text())
    with np.load(path.with_suffix(".npz")) as arrays:
        case = Case(name, meta, dict(arrays))
    opts, recorded = meta["opts"], case.under("out/")
    hero, params = parity_cases.load(golden, meta["weights"], "float32")
    config = OptimizerConfig(
        learning_rate=opts["learning_rate"],
        warmup_steps=opts["warmup_steps"],
        b1=opts["betas"][0],
        b2=opts["betas"][1],
        weight_decay=opts["weight_decay"],
        max_grad_norm=opts["grad_norm"],
    )
    rule = optimizer.make_optimizer(config, opts["num_train_steps"])
    state, schedule = (
        rule.init(params),
        jax.jit(optimizer.make_schedule(config, opts["num_train_steps"])),
    )
    gradients = recorded_gradients(hero, case)
    update = jax.jit(rule.update)
    accumulation = opts["gradient_accumulation_steps"]
    losses = []
    for step, rate in enumerate(recorded["lr"]):
        numbers = range(step * accumulation, (step + 1) * accumulation)
        micro = [gradients[n % len(gradients)](params) for n in numbers]
        losses += [loss for loss, _ in micro]
        grads = jax.tree.map(lambda *g: sum(g), *(grad for _, grad in micro))
        norm = optax.tree.norm(grads)
        np.testing.assert_allclose(norm, recorded["grad_norm"][step], rtol=1e-4)
        np.testing.assert_allclose(schedule(step), rate, rtol=1e-5)
        updates, state = update(grads, state, params, step=step)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(losses, recorded["loss"], rtol=1e-4)
    assert_parameters(pretrained.to_official(params), case)


def recorded_gradients(hero, case):
    """For each recorded batch, params -> (loss, gradient)."""
    if "tasks" in case.meta:
        losses = pretraining_cases.trajectory_losses(hero, case)
        both = [jax.jit(jax.value_and_grad(loss, has_aux=True)) for loss in losses]
        return [functools.partial(without_outputs, gradient) for gradient in both]
    gradient = official_gradient(hero, json.dumps(case.meta["hparams"]))
    batches = [recorded_batch(case, number) for number in range(2)]
    return [lambda params, batch=batch: gradient(params, *batch) for batch in batches]


def without_outputs(gradient, params):
    (loss, _), grads = gradient(params)
    return loss, grads


@functools.cache
def official_gradient(hero, hparams):
    """(params, videos, queries, labels) -> (loss, gradient) of corpus retrieval."""
    case = Case("", {"hparams": json.loads(hparams)}, {})

    def loss(params, videos, queries, labels):
        predictions = hero.apply(
            {"params": params}, videos, queries, method=parity_cases.predict
        )
        return parity_cases.retrieval_loss(case, labels, predictions)[0]

    return jax.jit(jax.value_and_grad(loss))


def recorded_batch(case, number):
    """One of the two recorded batches, as `official_gradient` takes it."""
    arrays = case.under(f"in{number}/")
    videos = parity_cases.videos_of(arrays, case.meta[f"in{number}_meta"])
    labels = {name: arrays[name] for name in ("targets", "q_vidx")}
    return videos, parity_cases.queries_of(arrays), labels


def assert_parameters(ours, case):
    """1e-5, or 1e-4 where Adam makes steps of rounding noise (README, section 4)."""
    for name, final in case.under("final/").items():
        if name in ours:
            noisy = name in case.meta["final_f32_vs_f64_worst"]
            limit = 1e-4 if noisy else 1e-5
            np.testing.assert_allclose(ours[name], final, atol=limit, err_msg=name)
        else:
            assert pretrained.UNUSED.fullmatch(name), name


def test_every_parameter_of_ours_is_in_a_group(golden):
    recorded = json.loads((golden.root / "optim/param_groups.json").read_text())
    tasks = recorded["groups"].values()
    known = {name for groups in tasks for group in groups for name in group["params"]}
    ours = set(official_view(optimizer.is_decayed)) - {pretrained.TIED}
    layers = lambda names: {re.sub(r"layer\.\d+", "layer.N", n) for n in names}
    assert layers(ours) <= layers(known)
    assert named_leaves(pretrained.hero_shapes(HeroConfig()))
