"""The paper's model with the weights of the documented number stream (README, 8)."""

import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax import pretrained
from hero_jax.losses.regression import FrameDistance
from hero_jax.model.hero import HeroConfig
from hero_jax.model.multitask import TaskModel
from hero_jax.tasks.fom import Fom
from hero_jax.tasks.mfm import Mfm
from hero_jax.tasks.mlm import Mlm
from hero_jax.tasks.validation import batches
from hero_jax.tasks.vsm import Vsm
from tests.corpora import MemorySource

SEED = 20201005
INVENTORY = "pretrain(after pad_vocab+init_type_embedding)"
SOURCE = MemorySource(num_videos=3, feature_width=4352)
OPTIONS = {"source": SOURCE, "batch_size": 3}
TASKS = {
    "mlm": Mlm(**OPTIONS),
    "mffr": Mfm(objective=FrameDistance(), **OPTIONS),
    "mfm_nce": Mfm(**OPTIONS),
    "fom": Fom(**OPTIONS),
    "vsm": Vsm(span_rate=1.0, **OPTIONS),
}


def numbers(name, shape):
    """The stream's array for an official parameter."""
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    n = generator.standard_normal(shape, dtype=np.float32)
    if name.endswith("bias"):
        return 0.05 * n
    if len(shape) == 1:
        return 1 + 0.1 * n
    if len(shape) == 3:
        return 0.2 * n
    is_query_position = name.endswith("query_pos_embed.position_embeddings.weight")
    return n if is_query_position else 0.03 * n


@pytest.fixture(scope="module")
def params(golden):
    inventory = json.loads((golden.root / "state_dict_keys_base.json").read_text())
    state = {
        name: numbers(name, tuple(entry["shape"]))
        for name, entry in inventory[INVENTORY].items()
        if not pretrained.NOT_PARAMETERS.fullmatch(name) and name != pretrained.TIED
    }
    return pretrained.from_official(state, HeroConfig(unused_words=7))


def loss_of(task, params, dtype):
    model = TaskModel(HeroConfig(unused_words=7, dtype=dtype), {"task": task.head()})
    heads = {"log_scale": np.zeros((), np.float32)} if task is TASKS["vsm"] else {}
    whole = {"params": {"hero": params, "heads_task": heads}}
    (batch,) = batches(task, "train")

    @jax.jit
    def loss(whole, batch):
        predictions = model.apply(whole, "task", batch)
        return task.loss(predictions, batch, step=jnp.asarray(0), key=None)[0]

    first, second = (np.asarray(loss(whole, batch)) for _ in range(2))
    assert first == second
    return first


def test_the_stream_is_the_documented_one():
    name = "v_encoder.f_encoder.embeddings.LayerNorm.weight"
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    first = generator.standard_normal(1, dtype=np.float32)[0]
    assert numbers(name, (768,))[0] == np.float32(1 + 0.1 * first)
    assert abs(numbers("a.weight", (400, 300)).std() - 0.03) < 1e-3
    assert abs(numbers("a.bias", (90_000,)).std() - 0.05) < 1e-3
    assert abs(numbers("conv.weight", (1, 1, 90_000)).std() - 0.2) < 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_losses_are_finite_repeat_and_agree_with_64_bits(params, name):
    narrow = loss_of(TASKS[name], params, "float32")
    assert np.isfinite(narrow)
    with jax.enable_x64(True):
        wide = loss_of(TASKS[name], params, "float64")
    assert wide.dtype == np.float64
    assert narrow == pytest.approx(wide, rel=1e-6)
