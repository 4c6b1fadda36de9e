"""How a task does on held-out videos, by its own loss and terms (C.8)."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.model.hero import HeroConfig
from hero_jax.model.multitask import TaskModel
from hero_jax.tasks.base import Task
from hero_jax.tasks.shares import shares
from hero_jax.types import Metrics, PyTree

MAX_BATCH = 32
"""Videos at a time, however many a training batch has."""


def validate(
    task: Task,
    model: HeroConfig,
    params: PyTree,
    split: str,
    *,
    count: Callable[[Any], int],
    head_params: PyTree | None = None,
) -> dict[str, float]:
    """Loss and terms over a whole split, with the same draws whenever it is asked.

    Args:
        params: of the whole task model.
        count: how many predictions a batch is the mean of, which is its weight.
        head_params: what the task's head has beside the encoder.
    """
    weights, rows = [], []
    own = {"hero": params["hero"], "heads_task": head_params or {}}
    for batch in batches(task, split):
        weights.append(count(batch))
        rows.append(jax.device_get(_measure(task, model, own, batch)))
    total = max(sum(weights), 1)
    weighted = lambda name: sum(w * float(row[name]) for w, row in zip(weights, rows))
    return {name: weighted(name) / total for name in rows[0]}


def batches(task: Task, split: str) -> Iterator[Any]:
    """Every example once, in order; all batches but the last have one shape."""
    examples = task.examples(split)
    prepared = [
        task.prepare(example, np.random.default_rng((0, number)), share)
        for number, (example, share) in enumerate(
            zip(examples, shares(0.0, len(examples)))
        )
    ]
    size = min(task.batch_size, MAX_BATCH)
    chunks = [prepared[i : i + size] for i in range(0, len(prepared), size)]

    def collate(number: int, capacity: dict[str, int], local: slice) -> Any:
        rng = np.random.default_rng((1, number))
        return task.collate(
            [chunks[number]], capacity, split=split, local=local, rng=rng
        )

    needs = [collate(number, {}, slice(0))[1] for number in range(len(chunks))]
    capacity = {part: max(need[part] for need in needs) for part in needs[0]}
    for number in range(len(chunks)):
        yield collate(number, capacity, slice(None))[0]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _measure(task: Task, model: HeroConfig, params: PyTree, batch: Any) -> Metrics:
    """As at step 0 of training, without dropout."""
    predictor = TaskModel(model, {"task": task.head()})
    predictions = predictor.apply({"params": params}, "task", batch)
    loss, terms = task.loss(
        predictions, batch, step=jnp.zeros((), jnp.int32), key=jax.random.key(0)
    )
    return {"loss": loss} | terms
