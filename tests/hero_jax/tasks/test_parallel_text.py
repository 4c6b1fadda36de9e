import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.lexical import Lexical
from hero_jax.losses.neighbourhood import Neighbourhood
from hero_jax.model.hero import Hero
from hero_jax.model.multitask import TaskModel
from hero_jax.tasks.collate import text_id
from hero_jax.tasks.parallel_text import ParallelText
from tests.corpora import MemorySource
from tests.short_runs import tiny_model

SOURCE = MemorySource(num_videos=8)
TASK = ParallelText(source=SOURCE, batch_size=6)


def batch_of(pairs, num_groups=1, task=TASK):
    groups = np.array([*pairs, None], object)[:-1].reshape(num_groups, -1).tolist()
    rng = np.random.default_rng(0)
    everything = {"split": "train", "local": slice(None), "rng": rng}
    return task.collate(groups, {}, **everything)[0]


def pairs(task=TASK):
    rng = np.random.default_rng(0)
    return [task.prepare(e, rng, 0.5) for e in task.examples("train")[:6]]


def outcome(task, batch, params=None):
    model = TaskModel(tiny_model(SOURCE), {"parallel": task.head()})
    if params is None:
        params = jax.jit(lambda k: model.init(k, "parallel", batch))(jax.random.key(0))

    def loss(params):
        scores = model.apply(params, "parallel", batch)
        total, _ = task.loss(
            scores, batch, step=jax.numpy.int32(0), key=jax.random.key(1)
        )
        return total, scores

    (total, scores), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    return params, total, scores, gradient


def moved(gradient):
    """Names of the parameters that the loss reaches."""
    leaves = jax.tree_util.tree_leaves_with_path(gradient)
    reached = (p for p, leaf in leaves if np.any(np.asarray(leaf) != 0))
    return {jax.tree_util.keystr(p) for p in reached}


@pytest.mark.parametrize("layer", [None, 0, 1])
def test_groups_do_not_change_the_scores(layer):
    task = dataclasses.replace(TASK, layer=layer)
    params, total, scores, _ = outcome(task, batch_of(pairs()))
    _, again, divided, _ = outcome(task, batch_of(pairs(), 2), params)
    np.testing.assert_allclose(scores, divided, atol=1e-6)
    np.testing.assert_allclose(total, again, rtol=1e-6)
    assert scores.shape == (6, 6) and np.abs(scores).max() <= 1 + 1e-6


def test_an_inner_layer_is_the_mean_of_its_words_without_the_first_token():
    batch, config = batch_of(pairs()).texts, tiny_model(SOURCE)
    hero = Hero(config)
    params = outcome(TASK, batch_of(pairs()))[0]["params"]["hero"]
    apply = lambda name, *args, **kw: hero.apply(
        {"params": params}, *args, method=name, **kw
    )
    words = np.asarray(apply("encode_texts", batch, layer=1))
    means = np.asarray(apply("mean_words", batch, layer=1))
    for mean, row, segment in zip(means, batch.row, batch.segment_of):
        own = (batch.segment[row] == segment) & (batch.position[row] > 0)
        np.testing.assert_allclose(mean, words[row][own].mean(axis=0), atol=1e-5)
    last = apply("encode_texts", batch, layer=config.cross_modal.num_layers)
    np.testing.assert_allclose(last, apply("encode_texts", batch), atol=1e-6)
    with pytest.raises(ValueError, match="layer: found 9, expected 0 to"):
        apply("encode_texts", batch, layer=9)
    embedded = apply("encode_texts", batch, layer=0)
    assert not np.allclose(embedded, words)


def test_injection_reaches_nothing_above_its_layer():
    task = dataclasses.replace(TASK, objective=Lexical(), layer=1)
    above = dataclasses.replace(TASK, objective=Lexical())
    params, _, _, of_all = outcome(above, batch_of(pairs()))
    _, _, _, of_layer = outcome(task, batch_of(pairs()), params)
    assert moved(of_layer) < moved(of_all)
    assert not any("'query'" in name and "'hero'" in name and "cross" not in name
                   for name in moved(of_layer))  # fmt: skip


@pytest.mark.parametrize("order", [("en", "zh"), ()])
@pytest.mark.parametrize("objective", [InfoNCE(), Neighbourhood(), Lexical()])
def test_equal_texts_are_no_negatives(objective, order):
    task = dataclasses.replace(TASK, objective=objective, order=order)
    first, *others = pairs(task)
    twice = [first, first, *others[:4]]
    _, total, _, gradient = outcome(task, batch_of(twice, task=task))
    assert np.isfinite(total) and moved(gradient)
    ids = batch_of(twice, task=task).text_id
    assert ids[0].tolist() == ids[1].tolist()
    alone = batch_of([first] * 6, task=task)
    _, total, _, gradient = outcome(task, alone)
    assert total == pytest.approx(0, abs=1e-6) and not moved(gradient)


def test_a_text_of_either_side_is_no_negative_of_its_equal():
    """(A B) and (C A): what translates A may translate A; (D E) is another's."""
    a, b, c, d, e = (np.array([i, i + 1], np.int32) for i in range(5))
    batch = batch_of([(a, b), (c, a), (d, e)])
    seen = {}

    def objective(scores, positives, allowed, **_):
        seen["allowed"] = np.asarray(allowed)
        return jnp.zeros(()), {}

    task = dataclasses.replace(TASK, objective=objective)
    zeros = np.zeros((3, 3), np.float32)
    task.loss(zeros, batch, step=np.array(0, np.int32), key=None)
    np.testing.assert_array_equal(
        seen["allowed"],
        [[False, False, True], [False, False, True], [True, True, False]],
    )


def test_rows_are_of_one_language_and_columns_of_the_other():
    found = TASK.examples("train")[:6]
    english, chinese = ({text_id(e[code]) for e in found} for code in ("en", "zh"))
    rng, first = np.random.default_rng(0), []
    for _ in range(12):
        prepared = [TASK.prepare(e, rng, 0.5) for e in found]
        options = {"split": "train", "local": slice(None), "rng": rng}
        ids = TASK.collate([prepared], {}, **options)[0].text_id
        rows, columns = set(ids[:, 0].tolist()), set(ids[:, 1].tolist())
        assert (rows, columns) in [(english, chinese), (chinese, english)]
        first.append(rows == english)
    assert {True, False} == set(first)


def test_cosines_of_a_narrow_model_are_wide():
    batch = batch_of(pairs())
    model = dataclasses.replace(tiny_model(SOURCE), dtype="bfloat16")
    whole = TaskModel(model, {"parallel": TASK.head()})
    params = whole.init(jax.random.key(0), "parallel", batch)
    assert whole.apply(params, "parallel", batch).dtype == np.float32


def test_a_direction_is_kept_and_a_wrong_one_refused():
    task = dataclasses.replace(TASK, order=("zh", "en"))
    for (first, second), example in zip(pairs(task), task.examples("train")):
        assert first is example["zh"] and second is example["en"]
    assert task.fingerprint("train")["order"] == "zh+en"
    assert "order" not in TASK.fingerprint("train")
    wrong = dataclasses.replace(TASK, order=("fr", "en"))
    with pytest.raises(ValueError, match="order: found fr, expected two of en, zh"):
        wrong.examples("train")
