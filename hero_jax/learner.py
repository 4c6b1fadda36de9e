"""What one update does: gradients over micro-batches, and the state they lead to."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from hero_jax import adapters, sharding
from hero_jax.adapters import Adapters
from hero_jax.model import initial
from hero_jax.model.hero import HeroConfig
from hero_jax.model.multitask import Head, TaskModel
from hero_jax.optimizer import OptimizerConfig, make_optimizer, make_schedule
from hero_jax.tasks.base import Task
from hero_jax.types import Array, Int, Key, Metrics, PyTree, Scalar

T = TypeVar("T")

MOST_PROGRAMS = 24
"""Programs kept for other runs of the process; beyond them the oldest is forgotten.

Each of them holds about 0.1 GB of the host: a study of many arms grew without end.
"""


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
    """The compiled functions of a run. State goes in and comes out; none is kept.

    Runs of one process that have a function in common compile it once.
    """

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
    adapters: Adapters | None = None

    def initial_state(self) -> TrainState:
        """A fresh state, created already sharded: no device ever holds all of it.

        Parameters depend on their path and the seed alone, so that runs that differ
        in the objective only begin alike.
        """
        create = compiled(self._creation, self.state_sharding)
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
        return shapes_of(self._creation)

    @functools.cached_property
    def _creation(self) -> "Creation":
        leaves, structure = jax.tree.flatten(dict(self.samples))
        shapes = tuple((leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves)
        heads = tuple(self.model.heads.items())
        training = self.optimizer, self.num_steps, self.adapters
        return Creation(self.model.config, heads, *training, shapes, structure)

    def step(
        self, state: TrainState, batches: PyTree, *, task: str
    ) -> tuple[TrainState, Metrics]:
        """One update from a batch of a task; donates the state.

        Every leaf of `batches` has a leading axis of micro-batches. The gradient is
        compiled once a task, what it leads to once for all.
        """
        grads, loss, terms = self._gradients[task](state, batches)
        state, metrics = self._update(state, grads, loss)
        return state, terms | metrics

    @functools.cached_property
    def _gradients(self) -> dict[str, Callable[..., tuple[PyTree, Scalar, Metrics]]]:
        whole = sharding.replicated(self.mesh)
        places = (self.state_sharding.params, whole, whole)
        return {name: compiled(self._gradient(name), places) for name in self.tasks}

    def _gradient(self, name: str) -> "Gradient":
        return Gradient(
            self.model.config,
            name,
            self.model.heads[name],
            self.tasks[name],
            self.accumulation,
            self.is_accumulation_mean,
        )

    @functools.cached_property
    def _update(self) -> Callable[..., tuple[TrainState, Metrics]]:
        places = (self.state_sharding, sharding.replicated(self.mesh))
        return compiled(Update(self.optimizer, self.num_steps), places, donated=(0,))

    def whole(self, params: PyTree) -> PyTree:
        """Parameters of the model in numpy, every one whole, on every host."""
        whole = sharding.replicated(self.mesh)
        gathered = jax.jit(adapters.folded, out_shardings=whole)(params)
        return jax.tree.map(np.asarray, gathered)


@dataclasses.dataclass(frozen=True)
class Creation:
    """The first state of a run, from its key."""

    config: HeroConfig
    heads: tuple[tuple[str, Head], ...]
    optimizer: OptimizerConfig
    num_steps: int
    adapters: Adapters | None
    shapes: tuple[tuple[tuple[int, ...], np.dtype], ...]
    """Of the leaves of a batch of every task."""
    structure: jax.tree_util.PyTreeDef

    def __call__(self, key: Key[Array, ""]) -> TrainState:
        init_key, step_key = jax.random.split(key)
        zeros = self.structure.unflatten([jnp.zeros(*leaf) for leaf in self.shapes])
        model = TaskModel(self.config, dict(self.heads))
        drawn = model.init(init_key, zeros, method=TaskModel.run_every_head)
        params = initial.begin(drawn["params"], self.config.initializer)
        if self.adapters is not None:
            params = adapters.begin(self.adapters, params, init_key)
        transformation = make_optimizer(self.optimizer, self.num_steps)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=transformation.init(params),
            rng=jax.random.key_data(step_key),
            num_bad=jnp.zeros((), jnp.int32),
        )


@dataclasses.dataclass(frozen=True)
class Update:
    """The state that a gradient leads to."""

    optimizer: OptimizerConfig
    num_steps: int

    def __call__(
        self, state: TrainState, grads: PyTree, loss: Scalar
    ) -> tuple[TrainState, Metrics]:
        norm = optax.tree.norm(grads)
        transformation = make_optimizer(self.optimizer, self.num_steps)
        updates, opt_state = transformation.update(
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


@dataclasses.dataclass(frozen=True)
class Gradient:
    """The gradient, loss and terms of one task."""

    config: HeroConfig
    name: str
    head: Head
    task: Task
    accumulation: int
    is_accumulation_mean: bool

    def __call__(
        self, state: TrainState, batches: PyTree
    ) -> tuple[PyTree, Scalar, Metrics]:
        """Over the micro-batches: sum of gradients (G.3), mean of loss and terms."""
        key = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
        gradient = functools.partial(self.of_batch, state)
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

    def of_batch(
        self, state: TrainState, batch: PyTree, key: Key[Array, ""]
    ) -> tuple[PyTree, Scalar, Metrics]:
        dropout_key, loss_key = jax.random.split(key)
        model = TaskModel(self.config, {self.name: self.head})

        def objective(params):
            predictions = model.apply(
                {"params": adapters.folded(params, is_training=True)},
                self.name,
                batch,
                train=True,
                rngs={"dropout": dropout_key},
            )
            return self.task.loss(predictions, batch, step=state.step, key=loss_key)

        (loss, terms), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        return grads, loss, dict(terms)


def compiled(
    function: Callable[..., T], places: PyTree, *, donated: tuple[int, ...] = ()
) -> Callable[..., T]:
    """The function jitted, with its results placed; equal functions are one program."""
    leaves, structure = jax.tree.flatten(places)
    of = _compiled if is_hashable(function) else _compiled.__wrapped__
    return of(function, tuple(leaves), structure, donated)


@functools.lru_cache(maxsize=MOST_PROGRAMS)
def _compiled(
    function: Callable[..., T],
    places: tuple[jax.sharding.Sharding, ...],
    structure: jax.tree_util.PyTreeDef,
    donated: tuple[int, ...],
) -> Callable[..., T]:
    def call(*args):
        return function(*args)

    call.__name__ = type(function).__name__.lower()
    return jax.jit(
        call, out_shardings=structure.unflatten(places), donate_argnums=donated
    )


def shapes_of(creation: Creation) -> TrainState:
    """Shape and dtype of every leaf of the state; nothing is computed."""
    of = _shapes_of if is_hashable(creation) else _shapes_of.__wrapped__
    return of(creation)


@functools.lru_cache(maxsize=MOST_PROGRAMS)
def _shapes_of(creation: Creation) -> TrainState:
    return jax.eval_shape(lambda key: creation(key), jax.random.key(0))


def is_hashable(value: object) -> bool:
    """Whether equal ones can be found again; not with a list in some task's field."""
    try:
        hash(value)
    except TypeError:
        return False
    return True
