"""What our optimizer makes of each recorded case, beside what was recorded.

A case is a file of `optim/`; it becomes two flat dictionaries with equal keys, expected
and ours. Sizes, rates and batches come from the files.
"""

import dataclasses
import functools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import answer_cases
import batch_checks
import jax
import jax.numpy as jnp
import numpy as np
import optax
import parity_cases
import pretraining_cases
from meta_checks import shapes
from parity_harness import Arrays, Case, Golden, Measured
from run_cases import digest

from hero_jax import optimizer, pretrained
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.optimizer import OptimizerConfig
from hero_jax.paths import path_name

Flat = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Ours:
    """What we compute for a case, and how far each number may be off."""

    values: Flat
    allowed: Mapping[str, float]
    """Pattern of a name -> the tolerance, a share of the largest value."""
    absolute: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """The same for values whose differences count as they are."""


def names(golden: Golden) -> list[str]:
    return sorted({path.stem for path in (golden.root / "optim").glob("*")})


def read(golden: Golden, name: str) -> Case:
    path = golden.root / "optim" / name
    meta = json.loads(path.with_suffix(".json").read_text("utf-8"))
    if not path.with_suffix(".npz").exists():
        return Case(name, meta, {})
    with np.load(path.with_suffix(".npz")) as arrays:
        return Case(name, meta, dict(arrays))


def handler(name: str) -> Callable[..., tuple[Flat, Ours]] | None:
    found = [run for pattern, run in HANDLERS.items() if re.fullmatch(pattern, name)]
    return found[0] if found else None


def run(golden: Golden, name: str, dtype: str = "float32") -> tuple[Flat, Ours]:
    """(recorded, ours)"""
    return handler(name)(golden, read(golden, name), dtype)


def wrong(golden: Golden, case: Case) -> Iterator[str]:
    """What a case says about itself and is not so."""
    if case.meta.get("keys", shapes(case)) != shapes(case):
        yield "keys are not those of its arrays"
    for key in (key for key in case.meta if key.endswith("steps")):
        if sorted(set(case.meta[key])) != case.meta[key]:
            yield f"{key} do not rise"
    for name, wide in case.under("out64/").items():
        limit = 1e-4 * max(np.abs(wide).max(), 1e-3)
        if not np.abs(case.arrays[f"out/{name}"] - wide).max() <= limit:
            yield f"{name} in 64 bits is not that in 32"
    if case.name.startswith("adamw") and not needs_of_u(case) <= NEEDS_OF_U:
        yield f"u is one of {NEEDS_OF_U}"
    if case.name.startswith("traj"):
        yield from batch_checks.wrong(case, golden.settings.get("frame_interval"))
        yield from wrong_end(golden, case)


def wrong_end(golden: Golden, case: Case) -> Iterator[str]:
    """Of a trajectory: what it says of its options and of the parameters at its end."""
    said, final = case.meta, case.under("final/")
    start = golden.weights(said["weights"])
    same = {name for name in final if np.array_equal(final[name], start[name])}
    if set(said["never_updated"]) != same:
        yield "never_updated are not those that end as they began"
    if set(said["final_norm64"]) != set(final):
        yield "final_norm64 are not of the parameters at the end"
    worst = said["final_f32_vs_f64_worst"]
    if max(worst.values()) != said["final_max_abs_f32_vs_f64"] or worst.keys() - final:
        yield "final_max_abs_f32_vs_f64 is not the largest of final_f32_vs_f64_worst"
    if [*worst.values()] != sorted(worst.values(), reverse=True):
        yield "final_f32_vs_f64_worst does not fall"
    if said["opts"]["optim"] != "adamw":
        yield "optim is adamw"
    for number, task in enumerate(said.get("tasks", ())):
        if said[f"in{number}_meta"].get("__task__", task) != task:
            yield f"in{number} is not of {task}"


def measured(expected: Flat, ours: Ours) -> list[Measured]:
    """Every recorded number beside ours."""
    left = expected.keys() ^ ours.values.keys()
    found = [Measured(name, np.inf, 0, "in one only") for name in sorted(left)]
    for name in sorted(expected.keys() & ours.values.keys()):
        theirs, mine = (np.asarray(x) for x in (expected[name], ours.values[name]))
        is_absolute = name in ours.absolute
        allowed = ours.absolute[name] if is_absolute else tolerance_of(name, ours)
        if theirs.shape != mine.shape:
            problem = f"shape {mine.shape}, recorded {theirs.shape}"
            found.append(Measured(name, np.inf, allowed, problem))
            continue
        worst = np.abs(theirs.astype(np.float64) - mine).max(initial=0)
        scale = 1 if is_absolute else np.abs(theirs).max(initial=0) or 1.0
        worst = worst if np.isfinite(worst) else np.inf
        found.append(Measured(name, worst / scale, allowed))
    return found


def tolerance_of(name: str, ours: Ours) -> float:
    return next(t for pattern, t in ours.allowed.items() if re.fullmatch(pattern, name))


# --- schedules ----------------------------------------------------------------------


def vqa_schedule(step, warmup_interval, decay_interval, decay_start, decay_rate):
    """In the official file, but called by no script; so only this suite has it."""
    quarters = jnp.minimum(step // warmup_interval + 1, 4) / 4
    number = jnp.ceil((step - decay_start) / decay_interval)
    return jnp.where(step >= decay_start, decay_rate**number, quarters)


def official_rate(step, lr, warmup, total):
    config = OptimizerConfig(learning_rate=lr, warmup_steps=warmup)
    return optimizer.make_schedule(config, total)(step - 1)


SCHEDULES = {
    "noam": lambda step, warmup: optimizer.noam(step, warmup),
    "warmup_linear": lambda step, warmup, total: optimizer.warmup_linear(
        step, warmup, total
    ),
    "get_lr_sched": official_rate,
    "vqa_schedule": vqa_schedule,
}


def tables(meta: Mapping[str, Any]) -> Iterator[tuple[str, str, dict, Any, Any]]:
    """(key, function, arguments, steps, values) of every recorded table.

    Each is of the steps that were written before it.
    """
    steps: list[int] = []
    for key, values in meta.items():
        steps = values if key.endswith("steps") else steps
        match = re.fullmatch(r"(\w+)\((.*)\)", key)
        if match:
            pairs = (pair.split("=") for pair in match[2].split(","))
            arguments = {name: float(value) for name, value in pairs}
            yield key, match[1], arguments, steps, values


def schedules(golden: Golden, case: Case, dtype: str) -> tuple[Flat, Ours]:
    expected, ours = {}, {}
    for key, function, arguments, steps, values in tables(case.meta):
        of_step = jax.jit(lambda s, f=function, a=arguments: SCHEDULES[f](s, **a))
        found = of_step(jnp.asarray(steps, dtype))
        rows = zip(steps, values, np.asarray(found), strict=True)
        for place, (step, value, mine) in enumerate(rows):
            # What float32 has no number for is 0.
            name = f"{key}/{place}: {step}"
            expected[name] = value if abs(value) > 1e-37 else 0.0
            ours[name] = mine if abs(mine) > 1e-37 else 0.0
    return expected, Ours(ours, {".*": 2e-6})


# --- AdamW on a toy -----------------------------------------------------------------

RULE = re.compile(
    r".*\boptimiser steps (?P<first>\d+) and (?P<second>\d+)\b"
    r".*\[W,u\] wd=(?P<wd>[\d.]+)"
    r".*betas=\((?P<b1>[\d.]+),(?P<b2>[\d.]+)\), eps=(?P<eps>[\d.e-]+);"
    r".*lr=(?P<lr>[\d.e-]+), warmup=(?P<warmup>\d+), total=(?P<total>\d+)\)"
    r".*clip_grad_norm_ (?P<clip>[\d.]+).*",
    re.DOTALL,
)
"""How the toy was trained, in the words of its file."""


def adamw_toy(golden: Golden, case: Case, dtype: str) -> tuple[Flat, Ours]:
    rule = {
        k: float(v) for k, v in RULE.fullmatch(case.meta["rule"]).groupdict().items()
    }
    prefix = "out64" if dtype == "float64" else "out"
    ours = {}
    for variant in case.meta.keys() - {"rule", "keys"}:
        with_u = (rule["first"], rule["second"])
        for name, values in toy_walk(case, variant, rule, with_u, dtype).items():
            ours[f"{variant}/{name}"] = np.stack(values)
    close = 1e-12 if dtype == "float64" else 2e-6
    allowed = {r".*/exp_avg.*": max(close, 50 * close), r".*": close * 5}
    return case.under(f"{prefix}/"), Ours(ours, allowed)


NEEDS_OF_U = {"never", "none", "zero"}
"""How the gradient of u is where the loss does not need it."""


def needs_of_u(case: Case) -> set[str]:
    variants = case.meta.keys() - {"rule", "keys"}
    return {case.meta[variant]["u"] for variant in variants}


def toy_walk(case: Case, variant: str, rule, with_u, dtype) -> dict[str, list]:
    """Parameters, moments, losses, norms and rates after each update."""
    options = case.meta[variant]
    config = OptimizerConfig(
        learning_rate=rule["lr"], warmup_steps=int(rule["warmup"]), eps=rule["eps"],
        b1=rule["b1"], b2=rule["b2"], weight_decay=rule["wd"],
        skips_untouched=options["u"] != "zero",
    )  # fmt: skip
    schedule = optimizer.make_schedule(config, int(rule["total"]))
    adamw = optax.chain(
        optimizer.clip_by_global_norm(rule["clip"]),
        optimizer.official_adamw(
            config, schedule, correct_bias=options["correct_bias"]
        ),
    )
    given = {name: array.astype(dtype) for name, array in case.under("in/").items()}
    # Our name rule decays W and u, as recorded, and leaves `bias` alone.
    params = {"W": given["W"], "bias": given["b"], "u": given["u"]}
    params = jax.tree.map(jnp.asarray, params)
    state = adamw.init(params)
    found: dict[str, list] = {}
    for step in range(options["steps"]):
        has_u = options["u"] != "never" and step + 1 in with_u
        grads, losses = toy_gradient(params, given, options, has_u)
        updates, state = adamw.update(grads, state, params, step=jnp.asarray(step))
        params = optax.apply_updates(params, updates)
        now = {
            "W": params["W"], "b": params["bias"], "u": params["u"], "loss": losses[-1],
            "grad_norm": optax.tree.norm(grads), "lr": schedule(step),
            "exp_avg_W": state[1].mu["W"], "exp_avg_sq_W": state[1].nu["W"],
        }  # fmt: skip
        for name, value in now.items():
            found.setdefault(name, []).append(np.asarray(value))
    return found


def toy_gradient(params, given, options, has_u):
    """Summed over micro-batches of rows."""

    def loss(params, rows):
        error = given["A"][rows] @ params["W"] + params["bias"]
        error = jnp.square(error - given["Y"][rows]).mean()
        return error + (0.1 * jnp.sum(params["u"] ** 3) if has_u else 0)

    size = len(given["A"]) // options["accumulation"]
    parts = [
        jax.value_and_grad(loss)(params, slice(i * size, (i + 1) * size))
        for i in range(options["accumulation"])
    ]
    grads = jax.tree.map(lambda *g: sum(g), *(grad for _, grad in parts))
    return grads, [value for value, _ in parts]


# --- parameter groups ---------------------------------------------------------------


def official_view(value_of_path: Callable[[str], Any]) -> dict[str, float]:
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


def any_layer(name: str) -> str:
    """Layers are all treated alike, so their numbers do not count."""
    return re.sub(r"layer\.\d+", "layer.N", name)


def param_groups(golden: Golden, case: Case, dtype: str) -> tuple[Flat, Ours]:
    """Learning rate and weight decay of every parameter of every task."""
    opts = case.meta["opts"]
    config = OptimizerConfig(head_multiplier=opts["lr_mul"])
    layers = lambda view: {any_layer(name): value for name, value in view.items()}
    decay = layers(official_view(optimizer.is_decayed))
    times = layers(official_view(lambda name: optimizer.multiplier(config, name)))
    expected, ours = {}, {}
    for task, groups in case.meta["groups"].items():
        for number, group in enumerate(groups):
            expected |= {f"{task}/{number}/{k}": group[k] for k in ("betas", "eps")}
            ours |= {
                f"{task}/{number}/betas": opts["betas"],
                f"{task}/{number}/eps": config.eps,
            }
            for name in group["params"]:
                expected[f"{task}/{name}"] = [group["lr"], group["weight_decay"]]
                rate, is_decayed = opts["learning_rate"], decay.get(any_layer(name))
                if is_decayed is None:  # A pooler, of which we have no path.
                    is_decayed = optimizer.is_decayed(name.replace(".", "/"))
                    assert pretrained.UNUSED.fullmatch(name), name
                else:
                    rate *= times[any_layer(name)]
                ours[f"{task}/{name}"] = [rate, opts["weight_decay"] * is_decayed]
    return expected, Ours(ours, {".*": 1e-6})


# --- trajectories -------------------------------------------------------------------


WALKS: dict[tuple, tuple[Flat, Arrays]] = {}


def trajectory(golden: Golden, case: Case, dtype: str) -> tuple[Flat, Ours]:
    """A few updates, dropout off: losses, norms, rates, parameters."""
    key = (case.name, dtype, digest(case), golden.origin)
    if key not in WALKS:
        WALKS[key] = walk(golden, case, dtype)
    return with_parameters(golden, case, dtype, *WALKS[key])


def walk(golden: Golden, case: Case, dtype: str) -> tuple[Flat, Arrays]:
    """(losses, norms and rates, the parameters at the end); once for equal inputs."""
    opts, rates = case.meta["opts"], case.arrays["out/lr"]
    hero, params = parity_cases.load(golden, case.meta["weights"], dtype)
    # Our paths begin with "hero": by it encoder and heads are told apart.
    params = {"hero": jax.tree.map(lambda x: jnp.asarray(x, dtype), params)}
    config = OptimizerConfig(
        learning_rate=opts["learning_rate"],
        warmup_steps=opts["warmup_steps"],
        b1=opts["betas"][0],
        b2=opts["betas"][1],
        weight_decay=opts["weight_decay"],
        max_grad_norm=opts["grad_norm"],
        head_multiplier=opts["lr_mul"] if "lr*lr_mul" in case.meta["rule"] else 1.0,
    )
    rule = optimizer.make_optimizer(config, opts["num_train_steps"])
    state = rule.init(params)
    schedule = jax.jit(optimizer.make_schedule(config, opts["num_train_steps"]))
    update = jax.jit(rule.update)
    gradients = recorded_gradients(hero, case)
    accumulation = opts["gradient_accumulation_steps"]
    found: dict[str, list] = {"loss": [], "grad_norm": [], "lr": []}
    for step in range(len(rates)):
        numbers = range(step * accumulation, (step + 1) * accumulation)
        micro = [gradients[n % len(gradients)](params["hero"]) for n in numbers]
        grads = {"hero": jax.tree.map(lambda *g: sum(g), *(grad for _, grad in micro))}
        found["loss"] += [loss for loss, _ in micro]
        found["grad_norm"].append(optax.tree.norm(grads))
        found["lr"].append(schedule(step))
        updates, state = update(grads, state, params, step=step)
        params = optax.apply_updates(params, updates)
    return found, pretrained.to_official(params["hero"])


def with_parameters(
    golden: Golden, case: Case, dtype: str, found: Flat, final: Arrays
) -> tuple[Flat, Ours]:
    """1e-5, or 1e-4 where Adam makes steps of rounding noise (README, section 4)."""
    is_wide = dtype == "float64"
    expected: Flat = dict(case.under("out64/" if is_wide else "out/"))
    ours: Flat = {name: np.asarray(values) for name, values in found.items()}
    absolute = {}
    noisy = case.meta["final_f32_vs_f64_worst"]
    # The poolers, which we do not train, officially end as they began.
    known = {**golden.weights(case.meta["weights"]), **final}
    norms = case.meta["final_norm64"]
    for name, theirs in case.under("final/").items():
        if not is_wide:
            expected[f"final/{name}"], ours[f"final/{name}"] = theirs, known[name]
            absolute[f"final/{name}"] = max(3 * noisy.get(name, 0), 1e-5)
        elif name in noisy:
            key = f"final_f32_vs_f64/{name}"
            off = np.abs(theirs - known[name].astype(np.float64)).max()
            expected[key], ours[key], absolute[key] = noisy[name], off, 2e-7
    for name, norm in norms.items():
        key = f"final_norm64/{name}"
        expected[key] = norm
        ours[key] = np.linalg.norm(known[name].astype(np.float64))
        size = math.sqrt(known[name].size)
        absolute[key] = 1e-7 if is_wide else max(3 * noisy.get(name, 0), 1e-5) * size
    return expected, Ours(ours, {".*": 1e-7 if is_wide else 1e-4}, absolute)


def recorded_gradients(hero, case: Case) -> list[Callable[[Any], tuple[Any, Any]]]:
    """For each recorded batch, params -> (loss, gradient)."""
    if "tasks" in case.meta:
        losses = pretraining_cases.trajectory_losses(hero, case)
    elif "n_answers" in case.meta or "lw_st_ed" in case.meta:
        losses = [answer_cases.question_loss(hero, one) for one in batch_cases(case)]
    else:
        return retrieval_gradients(hero, case)
    both = [jax.jit(jax.value_and_grad(loss, has_aux=True)) for loss in losses]
    return [functools.partial(without_outputs, gradient) for gradient in both]


def batch_cases(case: Case) -> list[Case]:
    """Each recorded batch as a case of its own."""
    found = []
    for number in batch_numbers(case):
        arrays = {f"in/{k}": v for k, v in case.under(f"in{number}/").items()}
        meta = {**case.meta, "in_meta": case.meta[f"in{number}_meta"]}
        found.append(Case(case.name, meta, arrays))
    return found


def batch_numbers(case: Case) -> list[int]:
    return [n for n in range(len(case.meta)) if f"in{n}_meta" in case.meta]


def without_outputs(gradient, params):
    (loss, _), grads = gradient(params)
    return loss, grads


def retrieval_gradients(hero, case: Case) -> list[Callable[[Any], tuple[Any, Any]]]:
    """One program for all batches of corpus retrieval."""
    gradient = retrieval_gradient(hero, json.dumps(case.meta["hparams"]))
    batches = []
    for one in batch_cases(case):
        arrays: Arrays = one.inputs
        videos = parity_cases.videos_of(arrays, one.meta["in_meta"])
        labels = {name: arrays[name] for name in ("targets", "q_vidx")}
        batches.append((videos, parity_cases.queries_of(arrays), labels))
    return [lambda params, batch=batch: gradient(params, *batch) for batch in batches]


@functools.cache
def retrieval_gradient(hero, hparams: str):
    """(params, videos, queries, labels) -> (loss, gradient) of corpus retrieval."""
    case = Case("", {"hparams": json.loads(hparams)}, {})

    def loss(params, videos, queries, labels):
        predictions = hero.apply(
            {"params": params}, videos, queries, method=parity_cases.predict
        )
        return parity_cases.retrieval_loss(case, labels, predictions)[0]

    return jax.jit(jax.value_and_grad(loss))


HANDLERS = {
    "schedules": schedules,
    "adamw_toy": adamw_toy,
    "param_groups": param_groups,
    r"traj_\w+": trajectory,
}
