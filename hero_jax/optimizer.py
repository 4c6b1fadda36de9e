"""How gradients become updates: schedules, AdamW as published and as in optax."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hero_jax.paths import path_name
from hero_jax.types import Array, Float, Int, PyTree

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]
"""Number of finished updates -> learning rate of the next one."""

MIN_LEARNING_RATE = 1e-8
"""The official floor (G.2)."""

# Paths of parameters that the official name rule leaves without weight decay (G.1):
# every bias and every gain of a LayerNorm. A gain inside feat_regress is no
# "LayerNorm.weight" by name, so it is decayed (H-61). Scalars (temperatures) are ours.
NO_DECAY = re.compile(r"(^|/)(bias|scale|log_scale)$")
DECAYED_GAIN = re.compile(r"(^|/)frame_regression/norm/scale$")

ENCODER = re.compile(r"(^|/)hero/(?!(query|span|answer|statement|caption)/)")
"""Parameters of the official `v_encoder`; `head_multiplier` is for all others."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """One update rule and its learning rate over the run."""

    kind: Literal["official", "optax"] = "official"
    """AdamW as in the official code (G.1), or as in optax (and PyTorch)."""
    learning_rate: float = 3e-5
    """The peak, reached at the end of the warm-up."""
    schedule: Literal["linear", "cosine", "noam"] = "linear"
    """What follows the warm-up; the official recipes all use linear (G.2)."""
    warmup_steps: int = 4000
    """Updates over which the learning rate rises linearly."""
    b1: float = 0.9
    """Decay of the mean of gradients."""
    b2: float = 0.98
    """Decay of the mean of squared gradients."""
    eps: float = 1e-6
    """Added to the root; before bias correction in the official form."""
    weight_decay: float = 0.01
    """Decoupled, for every parameter but biases and LayerNorm gains."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm."""
    head_multiplier: float = 1.0
    """Learning rate of task heads relative to the encoder's (official `lr_mul`)."""
    skips_untouched: bool = True
    """No momentum or decay where a gradient is all zeros (see `official_adamw`)."""


def make_optimizer(
    config: OptimizerConfig, num_steps: int
) -> optax.GradientTransformationExtraArgs:
    """Clipping and the update rule; `update` wants `step=` of finished updates."""
    schedule = make_schedule(config, num_steps)
    rule = official_adamw if config.kind == "official" else optax_adamw
    return optax.chain(
        clip_by_global_norm(config.max_grad_norm), rule(config, schedule)
    )


# --- Schedules: update numbers count from 1, as in the official code (G.2). ---


def make_schedule(config: OptimizerConfig, num_steps: int) -> Schedule:
    """The learning rate of the update that follows `step` finished ones."""
    factor = {
        "linear": lambda s: warmup_linear(s, config.warmup_steps, num_steps),
        "cosine": lambda s: warmup_cosine(s, config.warmup_steps, num_steps),
        "noam": lambda s: noam(s, config.warmup_steps),
    }[config.schedule]

    def schedule(step):
        rate = config.learning_rate * factor(jnp.asarray(step + 1, float))
        return jnp.where(rate > 0, rate, MIN_LEARNING_RATE)

    return schedule


def warmup_linear(s: Float[Array, ""], warmup: int, total: int) -> Float[Array, ""]:
    """Up to 1 at `warmup`, down to 0 at `total` (T.5)."""
    falling = jnp.maximum(0, (total - s) / max(1, total - warmup))
    return jnp.where(s < warmup, s / max(1, warmup), falling)


def warmup_cosine(s: Float[Array, ""], warmup: int, total: int) -> Float[Array, ""]:
    """Up to 1 at `warmup`, then half a cosine down to 0 at `total`."""
    progress = jnp.clip((s - warmup) / max(1, total - warmup), 0, 1)
    falling = (1 + jnp.cos(jnp.pi * progress)) / 2
    return jnp.where(s < warmup, s / max(1, warmup), falling)


def noam(s: Float[Array, ""], warmup: int) -> Float[Array, ""]:
    """Up to 1 at `warmup`, then with the inverse root of the step."""
    warmup = max(1, warmup)
    return jnp.where(s <= warmup, s / warmup, jnp.sqrt(warmup / jnp.maximum(s, 1)))


# --- Gradient transformations. ---


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformation:
    """Scales by max_norm / (norm + 1e-6), never up (quirk G4; optax adds nothing)."""

    def update(grads, state, params=None):
        factor = jnp.minimum(1, max_norm / (optax.tree.norm(grads) + 1e-6))
        return jax.tree.map(lambda g: g * factor.astype(g.dtype), grads), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


class OfficialAdamWState(NamedTuple):
    """Every parameter counts its own updates (quirk G5)."""

    counts: Int[Array, "P"]
    """In the order of the parameters' leaves."""
    mu: PyTree
    nu: PyTree


def official_adamw(
    config: OptimizerConfig, schedule: Schedule, *, correct_bias: bool = True
) -> optax.GradientTransformationExtraArgs:
    """AdamW of the official code (G.1, quirks G1-G5).

        p <- p - lr c m / (sqrt(v) + eps)      c: bias correction, eps outside of it
        p <- p - lr wd p                       decay of the value just updated

    A parameter that a step does not touch (another task's head: its gradient is zero
    everywhere) is left alone, moments and counter too, as parameters whose gradient is
    None are in the official code. There a gradient that was computed and is zero lets
    momentum and decay go on; JAX cannot tell the two apart. So `skips_untouched` is for
    runs of several tasks, or with the span loss on some batches only; without it the
    official rule holds wherever every parameter is used.
    """

    def init(params):
        zeros = lambda: jax.tree.map(jnp.zeros_like, params)
        count = jnp.zeros(len(jax.tree.leaves(params)), jnp.int32)
        return OfficialAdamWState(count, zeros(), zeros())

    def update(grads, state, params, *, step, **_):
        named, tree = jax.tree.flatten_with_path(params)
        names = [path_name(path) for path, _ in named]
        grads = tree.flatten_up_to(grads)
        skips = config.skips_untouched
        is_touched = jnp.stack([jnp.any(g != 0) | (not skips) for g in grads])
        # What is one number a parameter is computed for all at once: a program with
        # the same dozen scalar operations for each would take long to compile.
        rate = schedule(step) * np.array([multiplier(config, name) for name in names])
        decay = config.weight_decay * np.array([is_decayed(name) for name in names])
        counts = state.counts + is_touched
        size = (
            rate * bias_correction(config, state.counts + 1) if correct_bias else rate
        )
        size, shrink = (x * is_touched for x in (size, rate * decay))

        def leaf(i, g, p, m, v):
            new_m = config.b1 * m + (1 - config.b1) * g
            new_v = config.b2 * v + (1 - config.b2) * g * g
            change = -size[i].astype(p.dtype) * new_m / (jnp.sqrt(new_v) + config.eps)
            if decay[i]:
                change -= shrink[i].astype(p.dtype) * (p + change)
            kept = lambda new, old: jnp.where(is_touched[i], new, old)
            return change, kept(new_m, m), kept(new_v, v)

        old = (tree.flatten_up_to(moment) for moment in (state.mu, state.nu))
        values = [p for _, p in named]
        new = zip(*map(leaf, range(len(names)), grads, values, *old), strict=True)
        updates, mu, nu = (tree.unflatten(leaves) for leaves in new)
        return updates, OfficialAdamWState(counts, mu, nu)

    return optax.GradientTransformationExtraArgs(init, update)


def bias_correction(config: OptimizerConfig, t: Int[Array, "P"]) -> Float[Array, "P"]:
    """sqrt(1 - b2^t) / (1 - b1^t), without cancellation in float32."""
    fading = lambda b: -jnp.expm1(t * math.log(b))
    return jnp.sqrt(fading(config.b2)) / fading(config.b1)


def optax_adamw(
    config: OptimizerConfig, schedule: Schedule
) -> optax.GradientTransformationExtraArgs:
    """AdamW of optax: eps after bias correction, decay of the old value."""

    def scale(updates, state, params=None, *, step, **_):
        rate = schedule(step)
        scaled = lambda path, u: -rate * multiplier(config, path_name(path)) * u
        return jax.tree.map_with_path(scaled, updates), state

    return optax.chain(
        optax.scale_by_adam(config.b1, config.b2, config.eps),
        optax.add_decayed_weights(config.weight_decay, decay_mask),
        optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), scale),
    )


# --- Which parameters are treated how, by path. ---


def is_decayed(name: str) -> bool:
    """Whether the official rule decays the parameter at this path (G.1)."""
    return not NO_DECAY.search(name) or bool(DECAYED_GAIN.search(name))


def decay_mask(params: PyTree) -> PyTree:
    """True where weight decay applies."""
    return jax.tree.map_with_path(lambda path, _: is_decayed(path_name(path)), params)


def multiplier(config: OptimizerConfig, name: str) -> float:
    return 1.0 if ENCODER.search(name) else config.head_multiplier
