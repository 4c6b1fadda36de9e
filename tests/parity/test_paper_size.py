"""The paper's model with the weights of the documented number stream (README, 8)."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import parity_harness
import pytest
from parity_harness import stream_numbers

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

SOURCE = MemorySource(num_videos=3, feature_width=4352)
OPTIONS = {"source": SOURCE, "batch_size": 3}
TASKS = {
    "mlm": Mlm(**OPTIONS),
    "mffr": Mfm(objective=FrameDistance(), **OPTIONS),
    "mfm_nce": Mfm(**OPTIONS),
    "fom": Fom(**OPTIONS),
    "vsm": Vsm(span_rate=1.0, **OPTIONS),
}


@pytest.fixture(scope="module")
def params(golden):
    return pretrained.from_official(
        golden.stream("pretrain"), HeroConfig(unused_words=7)
    )


def test_a_set_without_weights_is_of_the_size_of_the_paper(tmp_path, monkeypatch):
    """Names and shapes as recorded, the vocabulary padded as each model has it."""
    zeros = lambda name, shape: np.broadcast_to(np.float32(0), shape)
    monkeypatch.setattr(parity_harness, "stream_numbers", zeros)
    found = parity_harness.Golden(tmp_path)
    for stem in ("pretrain", "vcmr", "vr", "videoqa", "violin", "tvc"):
        config = found.config(stem)
        assert (config.vocab_size, config.width) == (50272, 768)
        assert config.unused_words == (7 if stem == "pretrain" else 0)
        shapes = pretrained.hero_shapes(
            config, pretrained.parts_of(found.weights(stem))
        )
        assert str(pretrained.differences(found.weights(stem), shapes)) == ""


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
    generator = np.random.default_rng([parity_harness.SEED, zlib.crc32(name.encode())])
    first = generator.standard_normal(1, dtype=np.float32)[0]
    assert stream_numbers(name, (768,))[0] == np.float32(1 + 0.1 * first)
    assert abs(stream_numbers("a.weight", (400, 300)).std() - 0.03) < 1e-3
    assert abs(stream_numbers("a.bias", (90_000,)).std() - 0.05) < 1e-3
    assert abs(stream_numbers("conv.weight", (1, 1, 90_000)).std() - 0.2) < 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_losses_are_finite_repeat_and_agree_with_64_bits(params, name):
    narrow = loss_of(TASKS[name], params, "float32")
    assert np.isfinite(narrow)
    with jax.enable_x64(True):
        wide = loss_of(TASKS[name], params, "float64")
    assert wide.dtype == np.float64
    assert narrow == pytest.approx(wide, rel=1e-6)
