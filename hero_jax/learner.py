"""What one update does: gradients over micro-batches, and the state they lead to."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from hero_jax import sharding
from hero_jax.model import initial
from hero_jax.model.multitask import TaskModel
from hero_jax.optimizer import OptimizerConfig, make_optimizer, make_schedule
from hero_jax.tasks.base import Task
from hero_jax.types import Array, Int, Key, Metrics, PyTree, Scalar


@flax.struct.dataclass
class TrainState:
    """All that changes while training; the position in the data is the step."""

    step: Int[Array, ""]
    params: PyTree
    opt_state: optax.OptState
    rng: jax.Array
    """Key data of the base key, uint32 [2]; every step folds its number into it."""
    num_bad: Int[Array, ""]
    """Steps skipped in a row because a gradient was not finite."""


@dataclasses.dataclass(frozen=True, eq=False)
class Learner:
    """The compiled functions of a run. State goes in and comes out; none is kept."""

    tasks: Mapping[str, Task]
    model: TaskModel
    optimizer: OptimizerConfig
    num_steps: int
    mesh: Mesh
    samples: Mapping[str, PyTree]
    """Shape and dtype of a batch of every task."""
    seed: int
    accumulation: int = 1
    is_accumulation_mean: bool = False

    def initial_state(self) -> TrainState:
        """A fresh state, created already sharded: no device ever holds all of it.

        Parameters depend on their path and the seed alone, so that runs that differ
        in the objective only begin alike.
        """
        create = jax.jit(self._create, out_shardings=self.state_sharding)
        return create(jax.random.key(self.seed))

    @functools.cached_property
    def abstract_state(self) -> TrainState:
        """Shape, dtype and place of every leaf of the state."""
        placed = lambda leaf, place: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place
        )
        return jax.tree.map(placed, self._shapes, self.state_sharding)

    @functools.cached_property
    def state_sharding(self) -> TrainState:
        return sharding.of_state(self._shapes, self.mesh)

    @functools.cached_property
    def _shapes(self) -> TrainState:
        return jax.eval_shape(self._create, jax.random.key(self.seed))

    def step(
        self, state: TrainState, batches: PyTree, *, task: str
    ) -> tuple[TrainState, Metrics]:
        """One update from a batch of a task; donates the state.

        Every leaf of `batches` has a leading axis of micro-batches. The gradient is
        compiled once a task, what it leads to once for all.
        """
        grads, loss, terms = self._compiled_gradients(state, batches, task=task)
        state, metrics = self._compiled_update(state, grads, loss)
        return state, terms | metrics

    @functools.cached_property
    def _compiled_gradients(self) -> Callable[..., tuple[PyTree, Scalar, Metrics]]:
        whole = sharding.replicated(self.mesh)
        return jax.jit(
            self._gradients,
            static_argnames="task",
            out_shardings=(self.state_sharding.params, whole, whole),
        )

    @functools.cached_property
    def _compiled_update(self) -> Callable[..., tuple[TrainState, Metrics]]:
        return jax.jit(
            self._update,
            donate_argnums=0,
            out_shardings=(self.state_sharding, sharding.replicated(self.mesh)),
        )

    def whole(self, params: PyTree) -> PyTree:
        """Parameters in numpy, every one whole, on every host."""
        whole = sharding.replicated(self.mesh)
        gathered = jax.jit(lambda tree: tree, out_shardings=whole)(params)
        return jax.tree.map(np.asarray, gathered)

    @functools.cached_property
    def _transformation(self) -> optax.GradientTransformationExtraArgs:
        return make_optimizer(self.optimizer, self.num_steps)

    def _create(self, key: Key[Array, ""]) -> TrainState:
        init_key, step_key = jax.random.split(key)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), dict(self.samples))
        drawn = self.model.init(init_key, zeros, method=TaskModel.run_every_head)
        params = initial.begin(drawn["params"], self.model.config.initializer)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=self._transformation.init(params),
            rng=jax.random.key_data(step_key),
            num_bad=jnp.zeros((), jnp.int32),
        )

    def _update(
        self, state: TrainState, grads: PyTree, loss: Scalar
    ) -> tuple[TrainState, Metrics]:
        norm = optax.tree.norm(grads)
        updates, opt_state = self._transformation.update(
            grads, state.opt_state, state.params, step=state.step
        )
        # A step without a finite gradient changes nothing but its own number.
        is_good = jnp.isfinite(loss) & jnp.isfinite(norm)
        params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(is_good, new, old),
            (optax.apply_updates(state.params, updates), opt_state),
            (state.params, state.opt_state),
        )
        num_bad = jnp.where(is_good, 0, state.num_bad + 1)
        metrics = {
            "loss": loss,
            "grad_norm": norm,
            "learning_rate": make_schedule(self.optimizer, self.num_steps)(state.step),
            "num_bad": num_bad,
        }
        return TrainState(
            state.step + 1, params, opt_state, state.rng, num_bad
        ), metrics

    def _gradients(
        self, state: TrainState, batches: PyTree, *, task: str
    ) -> tuple[PyTree, Scalar, Metrics]:
        """Over the micro-batches: sum of gradients (G.3), mean of loss and terms."""
        key = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
        gradient = functools.partial(self._gradient, state, task)
        if self.accumulation == 1:
            first = jax.tree.map(lambda leaf: leaf[0], batches)
            return gradient(first, jax.random.fold_in(key, 0))

        def add(total, numbered):
            number, batch = numbered
            new = gradient(batch, jax.random.fold_in(key, number))
            return jax.tree.map(jnp.add, total, new), None

        numbered = jnp.arange(self.accumulation), batches
        one = jax.eval_shape(gradient, jax.tree.map(lambda x: x[0], batches), key)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), one)
        (grads, loss, terms), _ = jax.lax.scan(add, zeros, numbered)
        mean = lambda tree: jax.tree.map(lambda leaf: leaf / self.accumulation, tree)
        return (
            mean(grads) if self.is_accumulation_mean else grads,
            mean(loss),
            mean(terms),
        )

    def _gradient(
        self, state: TrainState, task: str, batch: PyTree, key: Key[Array, ""]
    ) -> tuple[PyTree, Scalar, Metrics]:
        dropout_key, loss_key = jax.random.split(key)

        def objective(params):
            predictions = self.model.apply(
                {"params": params},
                task,
                batch,
                train=True,
                rngs={"dropout": dropout_key},
            )
            return self.tasks[task].loss(
                predictions, batch, step=state.step, key=loss_key
            )

        (loss, terms), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        return grads, loss, dict(terms)
