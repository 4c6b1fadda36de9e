import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from hero_jax import pretrained, sharding
from hero_jax.errors import UserError
from hero_jax.learner import TrainState
from hero_jax.model.hero import HeroConfig
from hero_jax.optimizer import OptimizerConfig, make_optimizer
from hero_jax.paths import named_leaves
from hero_jax.sharding import MeshConfig

LARGE = 1_000_000
"""A parameter of so many numbers must not be copied to every device."""


@pytest.fixture(scope="module")
def paper_state():
    """The state of the paper's model, in shapes only."""
    params = {"hero": pretrained.hero_shapes(HeroConfig())}
    opt_state = jax.eval_shape(make_optimizer(OptimizerConfig(), 10).init, params)
    scalar = jax.ShapeDtypeStruct((), jnp.int32)
    return TrainState(scalar, params, opt_state, scalar, scalar)


def rule_of(name):
    patterns = [pattern for pattern, _ in sharding.PARAMETER_RULES]
    return next(pattern for pattern in patterns if re.search(pattern, name))


def test_no_rule_is_stale(paper_state):
    used = {rule_of(name) for name in named_leaves(paper_state)}
    assert used == {pattern for pattern, _ in sharding.PARAMETER_RULES}


def test_no_large_parameter_falls_through(paper_state):
    places = named_leaves(
        sharding.of_state(paper_state, sharding.make_mesh(MeshConfig(4, 2)))
    )
    for name, leaf in named_leaves(paper_state).items():
        if leaf.size >= LARGE:
            local = places[name].shard_shape(leaf.shape)
            assert np.prod(local) <= leaf.size / 8, name


def test_moments_live_beside_their_parameters(paper_state):
    places = sharding.of_state(paper_state, sharding.make_mesh(MeshConfig(4, 2)))
    adamw = places.opt_state[1]
    for moments in (adamw.mu, adamw.nu):
        assert jax.tree.all(jax.tree.map(lambda p, m: p == m, places.params, moments))


def test_an_axis_that_does_not_divide_a_size_leaves_it_whole():
    mesh = sharding.make_mesh(MeshConfig(4, 2))
    assert sharding.fitted(P("model", "data"), (1003, 8), mesh) == P(None, "data")
    assert sharding.fitted(P("model", "data"), (), mesh) == P()


def test_the_compiler_places_what_is_not_pinned():
    mesh = sharding.make_mesh(MeshConfig(4, 2))
    assert mesh.shape == {"data": 4, "model": 2}
    assert mesh.axis_types == (AxisType.Auto, AxisType.Auto)


@pytest.mark.parametrize("grid", [(9, 1), (3, 3), (0, 1), (1, -1)])
def test_a_grid_without_enough_devices_is_refused(grid):
    with pytest.raises(UserError, match="8 devices"):
        sharding.make_mesh(MeshConfig(*grid))


def test_a_batch_that_does_not_divide_names_one_that_does():
    sharding.check_batch_size("vsm", 12, MeshConfig(data=4))
    with pytest.raises(UserError, match="found 6, expected a multiple.*use 8"):
        sharding.check_batch_size("vsm", 6, MeshConfig(data=4))
    with pytest.raises(UserError, match="found 0"):
        sharding.check_batch_size("vsm", 0, MeshConfig(data=1))


def test_a_batch_is_split_along_its_own_axis_where_that_divides():
    mesh = sharding.make_mesh(MeshConfig(4, 2))
    batch = {"rows": np.ones((3, 8, 5)), "odd": np.ones((3, 7)), "one": np.ones(3)}
    placed = sharding.put_batch(batch, mesh, num_leading=1)
    assert placed["rows"].sharding.spec == P(None, "data")
    assert placed["rows"].sharding.shard_shape((3, 8, 5)) == (3, 2, 5)
    assert placed["odd"].sharding.is_fully_replicated
    assert placed["one"].sharding.is_fully_replicated
    whole = sharding.put_whole_batch({"a": np.ones((8, 2)), "b": np.float32(3)}, mesh)
    assert whole["a"].sharding.shard_shape((8, 2)) == (2, 2)


def test_one_process_loads_the_whole_batch():
    assert sharding.host_part(sharding.make_mesh(MeshConfig(4, 2))) == (0, 1)
