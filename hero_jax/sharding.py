"""Where every array lives. No other module names a mesh axis."""

import dataclasses
import re

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from hero_jax.errors import UserError
from hero_jax.paths import path_name
from hero_jax.types import PyTree

# Parameter path -> its place on the mesh; the first match wins. Optimizer
# moments end in the same path as their parameter, so one table covers both.
PARAMETER_RULES = (
    (r"layers/\w+/(query|key|value)/kernel$", P(None, "data", "model")),  # N D D
    (r"layers/\w+/output/dense/kernel$", P(None, "model", "data")),  # N D D
    (r"layers/inner/kernel$", P(None, "data", "model")),  # N D I
    (r"layers/output/dense/kernel$", P(None, "model", "data")),  # N I D
    (r"word/embedding$", P("model", "data")),  # V D
    (r"kernel$", P("data", "model")),  # projections, the query encoder, heads
    (r"", P()),  # norms, biases, filters, position tables
)


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """A grid of devices."""

    data: int = 1
    """Parts into which a batch is split."""
    model: int = 1
    """Parts into which attention heads, MLPs and the vocabulary are split."""


def make_mesh(config: MeshConfig) -> Mesh:
    """The first data x model devices in a grid; several processes use all of theirs."""
    size, found = config.data * config.model, jax.device_count()
    if min(config.data, config.model) < 1 or size > found:
        raise UserError(
            f"mesh: found {config.data} x {config.model}, but there are {found} "
            f"devices; choose mesh.data and mesh.model whose product is at most {found}"
        )
    if jax.process_count() > 1 and size != found:
        raise UserError(
            f"mesh: {config.data} x {config.model} leaves devices of some process "
            f"unused; choose mesh.data and mesh.model whose product is {found}"
        )
    # In the order of the processes, so that each holds one run of the data axis.
    # Auto: the compiler propagates shardings from the few we pin.
    grid = np.array(jax.devices()[:size]).reshape(config.data, config.model)
    return Mesh(grid, ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def check_batch_size(name: str, batch_size: int, config: MeshConfig) -> None:
    """One clear line up front, in place of a tiling error from the compiler."""
    if min(config.data, config.model) < 1:
        raise UserError(
            f"mesh: found {config.data} x {config.model}; expected 1 or more of each"
        )
    if batch_size < 1 or batch_size % config.data:
        near = max(1, round(batch_size / config.data)) * config.data
        raise UserError(
            f"task {name}: batch_size: found {batch_size}, expected a multiple of "
            f"mesh.data {config.data}; use {near}"
        )


def of_state(tree: PyTree, mesh: Mesh) -> PyTree:
    """The sharding of each leaf of a train state, from PARAMETER_RULES."""

    def place(path, leaf):
        name = path_name(path)
        rules = (spec for pattern, spec in PARAMETER_RULES if re.search(pattern, name))
        return NamedSharding(mesh, fitted(next(rules), leaf.shape, mesh))

    return jax.tree.map_with_path(place, tree)


def fitted(spec: P, shape: tuple[int, ...], mesh: Mesh) -> P:
    """`spec` without the axes that do not divide their dimension, or do not exist.

    A vocabulary of 1003 on two devices stays whole: the result is the same, and only
    a toy has such sizes. Per-parameter counters end in their parameter's path too.
    """
    if len(shape) < len(spec):
        return P()
    divides = lambda axis, size: axis is not None and size % mesh.shape[axis] == 0
    return P(*(a if divides(a, n) else None for a, n in zip(spec, shape)))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole."""
    return NamedSharding(mesh, P())


def host_part(mesh: Mesh) -> tuple[int, int]:
    """(index, count) of the equal parts of a batch: which one this process loads.

    Processes that share rows of the data axis (a model axis that spans them) load the
    same part.
    """
    rows = [
        row
        for row, devices in enumerate(mesh.devices)
        if any(d.process_index == jax.process_index() for d in devices)
    ]
    return rows[0] // len(rows), mesh.shape["data"] // len(rows)


def put_batch(batch: PyTree, mesh: Mesh, *, num_leading: int = 0) -> PyTree:
    """This process's part of a batch as global arrays, split along the batch axis.

    The batch axis comes after `num_leading` others (micro-batches). Arrays whose
    batch axis the mesh does not divide are held whole by every device.
    """
    num_parts = host_part(mesh)[1]

    def put(array):
        array = np.asarray(array)
        shape = list(array.shape)
        if len(shape) > num_leading:
            shape[num_leading] *= num_parts
        spec = fitted(P(*[None] * num_leading, "data"), tuple(shape), mesh)
        if num_parts > 1 and "data" not in spec:
            raise UserError(
                f"batch: an array of shape {array.shape} does not split over mesh.data "
                f"{mesh.shape['data']} on {num_parts} hosts; raise pack_groups"
            )
        return jax.make_array_from_process_local_data(
            NamedSharding(mesh, spec), array, tuple(shape)
        )

    return jax.tree.map(put, batch)


def put_whole_batch(batch: PyTree, mesh: Mesh) -> PyTree:
    """A batch that every process holds entirely, split where the mesh allows."""

    def put(array):
        array = np.asarray(array)
        spec = fitted(P("data"), array.shape, mesh)
        return jax.device_put(array, NamedSharding(mesh, spec))

    return jax.tree.map(put, batch)
