import numpy as np
import pytest

from hero_jax.pipeline import Pipeline
from hero_jax.tasks.mlm import IGNORED, Mlm, mask_tokens
from tests.corpora import MemorySource

SOURCE = MemorySource(num_videos=12)
OPTIONS = {"rate": 0.15, "mask_id": 99, "ordinary": (4, 90)}


def test_shares_of_the_masking_rule():
    tokens = np.full(200_000, 95, np.int32)  # no ordinary token
    shown, labels = mask_tokens(tokens, [0], np.random.default_rng(0), **OPTIONS)
    is_hidden = labels != IGNORED
    assert is_hidden.mean() == pytest.approx(0.15, abs=0.005)
    assert (shown[is_hidden] == 99).mean() == pytest.approx(0.8, abs=0.01)
    assert (shown[is_hidden] == 95).mean() == pytest.approx(0.1, abs=0.01)
    drawn = shown[is_hidden & (shown < 95)]
    assert set(drawn.tolist()) == set(range(4, 90))
    assert (labels[is_hidden] == 95).all()
    assert (shown[~is_hidden] == 95).all()


def test_something_of_every_text_is_hidden_and_then_it_is_the_mask():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        tokens, options = np.array([7, 8, 9, 7]), OPTIONS | {"rate": 1e-9}
        shown, labels = mask_tokens(tokens, [0, 2, 3], rng, **options)
        assert shown.tolist() == [99, 8, 99, 99]
        assert labels.tolist() == [7, IGNORED, 9, 7]


@pytest.mark.parametrize("num_groups", [1, 2])
def test_slots_point_at_masked_tokens_and_labels_restore_the_text(num_groups):
    task = Mlm(source=SOURCE, batch_size=4)
    pipeline = Pipeline(task, name="mlm", seed=0, num_groups=num_groups)
    batch = pipeline.batch(2)
    tokenizer = SOURCE.load_tokenizer()
    rows = batch.videos.tokens.reshape(num_groups, -1)
    frames = batch.videos.frame.reshape(num_groups, -1)
    slots, labels = (x.reshape(num_groups, -1) for x in (batch.slot, batch.label))
    for group in range(num_groups):
        real = labels[group] != IGNORED
        at_slot = rows[group][slots[group][real]]
        assert (at_slot == tokenizer.mask).mean() > 0.6
        assert (frames[group][slots[group][real]] == -1).all()
        assert tokenizer.bos not in labels[group]
    # putting the labels back leaves no mask token: nothing else was hidden
    rows = rows.copy()
    for group in range(num_groups):
        real = labels[group] != IGNORED
        rows[group][slots[group][real]] = labels[group][real]
    assert tokenizer.mask not in rows
