import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax import integrity, sharding
from hero_jax.sharding import MeshConfig

DTYPES = ("float32", "bfloat16", "float16", "int32", "uint32", "int8", "uint8")


def sample(dtype, shape=(5, 7)):
    values = np.random.default_rng(0).integers(-100, 100, shape)
    return np.asarray(jnp.asarray(values).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_single_flipped_bit_changes_both_sums(dtype):
    array = sample(dtype, (3, 4))
    whole = integrity.digest(array)
    bits = 8 * array.nbytes
    for bit in range(0, bits, 1 if bits < 200 else 5):
        damaged = np.frombuffer(array.tobytes(), np.uint8).copy()
        damaged[bit // 8] ^= 1 << bit % 8
        other = integrity.digest(damaged.view(array.dtype).reshape(array.shape))
        assert (other != whole).all()


def test_swapped_values_are_noticed():
    array = np.arange(64, dtype=np.float32)
    digests = set()
    for i in range(32):
        swapped = array.copy()
        swapped[[i, 63 - i]] = swapped[[63 - i, i]]
        digests.add(tuple(integrity.digest(swapped).tolist()))
    assert len(digests) == 32


@pytest.mark.parametrize("grid", [(1, 1), (8, 1), (4, 2), (1, 8)])
def test_the_digest_is_the_same_on_every_mesh(grid):
    mesh = sharding.make_mesh(MeshConfig(*grid))
    tree = {"layers": {"inner": {"kernel": sample("float32", (2, 16, 24))}}}
    placed = jax.device_put(tree, sharding.of_state(tree, mesh))
    assert integrity.describe(placed) == integrity.describe(
        jax.tree.map(jnp.asarray, tree)
    )


def test_scalars_flags_and_empty_arrays_have_digests():
    tree = {"a": jnp.int32(3), "b": jnp.array([True, False]), "c": jnp.zeros((0, 3))}
    described = integrity.describe(tree)
    assert described["a"] == {
        "dtype": "int32",
        "shape": [],
        "digest": "0000000300000003",
    }
    assert described["c"]["digest"] == "0" * 16


def test_nan_and_infinity_are_found_among_floats():
    assert integrity.is_finite({"a": jnp.ones(3), "n": jnp.arange(3)})
    for value in (jnp.nan, jnp.inf, -jnp.inf):
        assert not integrity.is_finite({"a": jnp.ones(3), "b": jnp.array([value])})


def test_a_record_knows_that_it_was_changed():
    record = integrity.seal({"step": 3, "data": {"seed": 5}})
    assert integrity.is_sealed(record)
    assert not integrity.is_sealed(record | {"step": 4})
    assert not integrity.is_sealed({"step": 3})
