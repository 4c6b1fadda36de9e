import dataclasses

import jax
import numpy as np
import pytest

from hero_jax.losses.regression import FrameDistance
from hero_jax.model.hero import HeroConfig
from hero_jax.model.multitask import TaskModel
from hero_jax.model.transformer import TransformerConfig
from hero_jax.tasks.fom import Fom
from hero_jax.tasks.mfm import Mfm
from hero_jax.tasks.mlm import Mlm
from hero_jax.tasks.validation import batches
from hero_jax.tasks.vsm import Vsm
from tests.corpora import MemorySource

SOURCE = MemorySource(num_videos=7)
TOWER = TransformerConfig(width=8, num_heads=2, num_layers=1, mlp_width=12)
MODEL = HeroConfig(
    vocab_size=304, feature_width=6, cross_modal=TOWER, temporal=TOWER,
    query_heads=2, max_positions=128, max_frames=100, max_query_positions=60,
)  # fmt: skip
TASKS = {
    "mlm": Mlm(source=SOURCE, batch_size=3),
    "mffr": Mfm(source=SOURCE, batch_size=3, objective=FrameDistance()),
    "mfm": Mfm(source=SOURCE, batch_size=3),
    "fom": Fom(source=SOURCE, batch_size=3),
    "vsm": Vsm(source=SOURCE, batch_size=3),
}
WATCHED = {
    "mlm": {"accuracy"},
    "mffr": {"distance", "cosine"},
    "mfm": {"accuracy", "distance", "cosine", "negatives"},
    "fom": {"accuracy"},
    "vsm": {
        *("context", "query", "start", "end"),
        *("video_accuracy", "start_accuracy", "end_accuracy"),
    },
}


@pytest.fixture(scope="module")
def params():
    model = TaskModel(MODEL, {name: task.head() for name, task in TASKS.items()})
    samples = {name: next(batches(task, "train")) for name, task in TASKS.items()}
    init = lambda key: model.init(key, samples, method=TaskModel.run_every_head)
    return jax.jit(init)(jax.random.key(0))["params"]


@pytest.mark.parametrize("name", TASKS)
def test_every_official_metric_is_there_and_repeats(params, name):
    found = TASKS[name].evaluate(MODEL, params, "val")
    assert set(found) >= {"loss"} | WATCHED[name]
    assert all(np.isfinite(value) for value in found.values())
    assert TASKS[name].evaluate(MODEL, params, "val") == found


def test_every_video_is_seen_once():
    seen = [b.videos.frame_mask.sum(axis=1) for b in batches(TASKS["fom"], "val")]
    assert list(map(len, seen)) == [3, 3, 1]
    counts = [example.num_frames for example in SOURCE.open("val")]
    assert np.concatenate(seen).tolist() == counts


def test_regression_does_not_depend_on_the_batch_size(params):
    one, whole = (
        dataclasses.replace(TASKS["mffr"], batch_size=size).evaluate(
            MODEL, params, "val"
        )
        for size in (1, 7)
    )
    assert one == pytest.approx(whole, rel=1e-5)
