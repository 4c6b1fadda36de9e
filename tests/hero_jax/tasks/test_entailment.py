import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model.multitask import TaskModel
from hero_jax.pipeline import Pipeline
from hero_jax.tasks.entailment import Entailment
from tests.asked_corpora import AskedSource
from tests.short_runs import tiny_model, train_and_evaluate

SOURCE = AskedSource(num_videos=6, num_lines=5)
TASK = Entailment(source=SOURCE)


def test_training_reads_a_statement_beside_its_contrary():
    examples = TASK.examples("train")
    assert len(examples) == 24
    assert examples[0].truth == (0, 1)
    assert examples[1].truth == (1, 0)
    for one, other in zip(examples[0].texts["en"], examples[1].texts["en"][::-1]):
        np.testing.assert_array_equal(one, other)


def test_value_reads_statements_alone_and_so_does_evaluation():
    alone = dataclasses.replace(TASK, is_paired=False)
    assert [one.truth for one in alone.examples("train")[:4]] == [(0,), (1,)] * 2
    assert TASK.asked("val", is_training=False)[1].truth == (1,)


def test_a_statement_without_its_contrary_is_read_beside_nothing(monkeypatch):
    examples = SOURCE.open("train")
    first, second, *_ = examples.corpus.statements
    lonely = [dataclasses.replace(first, opposite=""), second]
    corpus = dataclasses.replace(examples.corpus, statements=lonely)
    monkeypatch.setattr(examples, "corpus", corpus)
    from hero_jax.tasks import entailment

    entailment._statements.cache_clear()
    one, other = TASK.examples("train")
    entailment._statements.cache_clear()
    assert (one.truth, other.truth) == ((0, -1), (1, 0))
    assert len(one.texts["en"][1]) == 0
    prepared = TASK.prepare(one, np.random.default_rng(0), 0.5)
    assert prepared.copies[0].segments
    assert not prepared.copies[1].segments


def test_two_earlier_lines_are_read_with_each_one():
    example = SOURCE.open("train")[0]
    asked = TASK.examples("train")[0]
    read = TASK.read(asked, "en", "en")
    lines = example.lines["en"]
    text = asked.texts["en"][0]
    place = next(i for i, line in enumerate(lines) if len(line.frames) and i >= 2)
    number = sum(bool(len(line.frames)) for line in lines[:place])
    spoken = np.concatenate([line.tokens for line in lines[place - 2 : place + 1]])
    eos = SOURCE.load_tokenizer().eos
    assert read.copies[0].segments[number].tokens.tolist() == [eos, *spoken, *text]


def gradients(task):
    batch = Pipeline(task, name="statements", seed=1).batch(0)
    model = TaskModel(tiny_model(SOURCE), {"statements": task.head()})
    init = lambda key: model.init(key, "statements", batch)
    params = jax.jit(init)(jax.random.key(0))

    def loss(params):
        predictions = model.apply(params, "statements", batch)
        return task.loss(predictions, batch, step=jnp.asarray(0), key=None)

    (value, terms), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    assert np.isfinite(value)
    assert 0 <= terms["accuracy"] <= 1
    return grads["params"]["hero"]


def test_statements_have_their_own_head_or_that_of_questions():
    own = gradients(TASK)
    assert np.any(own["statement"]["score"]["inner"]["kernel"] != 0)
    assert "answer" not in own
    shared = gradients(dataclasses.replace(TASK, is_answer_head=True))
    assert np.any(shared["answer"]["verdict"]["score"]["inner"]["kernel"] != 0)
    assert "statement" not in shared


def test_three_steps_and_one_evaluation(tmp_path):
    source = dataclasses.replace(SOURCE, languages=("en",))
    task = dataclasses.replace(TASK, source=source)
    losses, results = train_and_evaluate(task, source, tmp_path)
    assert all(np.isfinite(losses))
    cell = results["en"]["en"]
    assert cell["num_texts"] == 24
    assert cell["chance"] == {"accuracy": 50.0}
    chosen = json.loads((tmp_path / "statements-en-en.json").read_text())
    statements = SOURCE.open("test").corpus.statements
    right = np.mean([chosen[s.statement_id] == s.is_true for s in statements])
    assert cell["accuracy"] == pytest.approx(100 * right)
    assert set(chosen.values()) <= {0, 1}
