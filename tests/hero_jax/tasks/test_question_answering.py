import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.readers.errors import InputError
from hero_jax.losses.answer import AnswerLoss
from hero_jax.model.multitask import TaskModel
from hero_jax.pipeline import Pipeline
from hero_jax.tasks.question_answering import QuestionAnswering, labels_of
from tests.asked_corpora import AskedSource
from tests.short_runs import tiny_model, train_and_evaluate

SOURCE = AskedSource(num_videos=6, num_lines=5)
ENGLISH = dataclasses.replace(SOURCE, languages=("en",))
EVENTS = dataclasses.replace(ENGLISH, is_about_events=True, num_answers=2)
TASK = QuestionAnswering(source=SOURCE)


def test_an_answer_stands_behind_its_question():
    asked = TASK.examples("train")[0]
    question = SOURCE.open("train").corpus.questions[0]
    tokenizer = SOURCE.load_tokenizer()
    for language in ("en", "zh"):
        texts = [question.texts[language], *(a[language] for a in question.answers)]
        asking, *answers = [ids.tolist() for ids in tokenizer.encode(texts)]
        expected = [[tokenizer.eos, *asking, tokenizer.eos, *a] for a in answers]
        assert [text.tolist() for text in asked.texts[language]] == expected
    assert asked.truth.index(1) == question.label
    assert sum(asked.truth) == 1


def test_events_stand_alone_behind_one_separator():
    """VLEP has no question (D.5)."""
    source = dataclasses.replace(SOURCE, is_about_events=True, num_answers=2)
    asked = QuestionAnswering(source=source).examples("train")[1]
    eos = source.load_tokenizer().eos
    for text in asked.texts["en"]:
        assert (text == eos).tolist() == [True] + [False] * (len(text) - 1)
    assert len(asked.truth) == 2
    first, last = asked.span  # its moment is read (H-51)
    assert 0 <= first < last


def test_moments_are_spans_and_unknown_ones_are_minus_one():
    without, known = TASK.examples("train")[:2]
    moment = SOURCE.open("train").corpus.questions[1].moment
    assert without.span == (-1, -1)
    assert known.span[0] == int(moment[0] // 1.5)
    assert known.span[1] == int(np.ceil(moment[1] / 1.5)) - 1


def test_labels_are_places_of_the_true_answer():
    truth = np.array([[0, 1, 0], [-1, -1, -1], [1, 0, 0]])
    assert labels_of(truth).tolist() == [1, -1, 0]


def test_long_questions_train_no_one_but_are_answered():
    every = TASK.examples("train")
    limit = sorted(one.num_tokens for one in every)[5]
    short = dataclasses.replace(TASK, max_text_tokens=limit)
    assert {one.num_tokens for one in short.examples("train")} <= set(range(limit + 1))
    assert 0 < len(short.examples("train")) < len(every)
    assert len(short.asked("train", is_training=False)) == len(every)


def test_questions_without_any_chosen_language_are_named():
    source = dataclasses.replace(SOURCE, languages=("fr",))
    with pytest.raises(InputError, match=r"question 'train0-q0' exists in none of"):
        QuestionAnswering(source=source).asked("train", is_training=True)


def test_a_dataset_without_questions_is_named(monkeypatch):
    examples = SOURCE.open("train")
    bare = dataclasses.replace(examples.corpus, questions=())
    monkeypatch.setattr(examples, "corpus", bare)
    from hero_jax.tasks import question_answering

    question_answering._questions.cache_clear()
    with pytest.raises(InputError, match="memory: split 'train' has no questions"):
        TASK.examples("train")
    question_answering._questions.cache_clear()


def test_logits_do_not_depend_on_what_else_is_in_the_batch():
    """Packed together, in two groups, or one by one."""
    task = dataclasses.replace(TASK, batch_size=4)
    model = TaskModel(tiny_model(SOURCE), {"qa": task.head()})
    rng = np.random.default_rng(1)
    asked = [task.prepare(one, rng, rng.random()) for one in task.examples("train")[:4]]
    read = lambda groups: task.collate(
        groups, {}, split="train", local=slice(None), rng=rng
    )[0]
    first = read([asked])
    params = jax.jit(lambda key: model.init(key, "qa", first))(jax.random.key(0))
    run = jax.jit(lambda batch: model.apply(params, "qa", batch))
    together = run(first)
    grouped = run(read([asked[:2], asked[2:]]))
    np.testing.assert_allclose(grouped.logits, together.logits, atol=2e-6)
    np.testing.assert_allclose(grouped.start, together.start, atol=2e-6)
    alone = run(read([[asked[3]]]))
    np.testing.assert_allclose(alone.logits[0], together.logits[3], atol=2e-6)


def test_every_part_of_the_head_learns():
    pipeline = Pipeline(TASK, name="qa", seed=1)
    batch = pipeline.batch(0)
    model = TaskModel(tiny_model(SOURCE), {"qa": TASK.head()})
    params = jax.jit(lambda key: model.init(key, "qa", batch))(jax.random.key(0))

    def loss(params):
        predictions = model.apply(params, "qa", batch)
        return TASK.loss(predictions, batch, step=jnp.asarray(0), key=None)

    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, terms), grads = gradient(params)
    assert np.isfinite(value)
    assert set(terms) == {"answer", "span", "accuracy"}
    head = grads["params"]["hero"]["answer"]
    assert all(np.any(g != 0) for k, g in head["boundaries"]["inner"].items())
    assert np.any(head["pool"]["kernel"] != 0)
    assert np.any(head["verdict"]["pool"]["kernel"] != 0)


@pytest.mark.parametrize(
    "source",
    [ENGLISH, EVENTS],
    ids=["questions", "events"],
)
def test_three_steps_and_one_evaluation(tmp_path, source):
    task = QuestionAnswering(source=source, objective=AnswerLoss(0.4))
    losses, results = train_and_evaluate(task, source, tmp_path)
    assert all(np.isfinite(losses))
    assert set(results) == {"en"}
    assert set(results["en"]) == {"en", "none"}
    cell = results["en"]["none"]
    assert cell["num_texts"] == 12
    assert cell["chance"]["accuracy"] == pytest.approx(100 / source.num_answers)
    chosen = json.loads((tmp_path / "questions-en-none.json").read_text())
    questions = source.open("test").corpus.questions
    assert list(chosen) == [q.question_id for q in questions]
    right = np.mean([chosen[q.question_id] == q.label for q in questions])
    assert cell["accuracy"] == pytest.approx(100 * right)
    logits = json.loads((tmp_path / "questions-en-none-logits.json").read_text())
    assert {k: int(np.argmax(v)) for k, v in logits.items()} == chosen


def test_without_labels_there_are_answers_and_no_accuracy(tmp_path):
    source = dataclasses.replace(SOURCE, is_test=True)
    task = QuestionAnswering(source=source)
    model = tiny_model(source)
    batch = Pipeline(task, name="qa", seed=0).batch(0)
    init = lambda key: TaskModel(model, {"qa": task.head()}).init(key, "qa", batch)
    params = jax.jit(init)(jax.random.key(0))
    results = task.evaluate(model, params["params"], "test", predictions_dir=tmp_path)
    assert {k: set(row) for k, row in results.items()} == {
        "en": {"en", "zh", "none"},
        "zh": {"en", "zh", "none"},
    }
    assert results["en"]["zh"]["accuracy"] is None
    assert len(json.loads((tmp_path / "questions-en-en.json").read_text())) == 12
