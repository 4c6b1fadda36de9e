"""C2KD: teachers read the English version of everything and stay as they are."""

import dataclasses

import jax
import numpy as np
import pytest

from hero_jax import checkpoint, exported
from hero_jax.errors import UserError
from hero_jax.model.multitask import TaskModel
from hero_jax.optimizer import OptimizerConfig
from hero_jax.paths import named_leaves
from hero_jax.pipeline import Pipeline
from hero_jax.pretrained import WeightsError
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.taught_retrieval import TaughtRetrieval
from hero_jax.train import TrainConfig, train
from tests.corpora import MemorySource
from tests.short_runs import tiny_model

SOURCE = MemorySource(num_videos=12)
FIELDS = dict(
    source=SOURCE, batch_size=4, num_subtitle_queries=2, num_annotated_queries=1
)
MODEL = tiny_model(SOURCE)
TASK = TaughtRetrieval(teachers=(MODEL,), languages=("zh",), **FIELDS)
PLACE = "heads_moments/teacher_0"


def config_of(task, **changes):
    config = TrainConfig(
        tasks={"moments": task},
        model=MODEL,
        steps=2,
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=1),
    )
    return dataclasses.replace(config, **changes)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    run = tmp_path_factory.mktemp("teacher") / "run"
    train(config_of(MomentRetrieval(languages=("en",), **FIELDS), seed=5), run)
    return run


@pytest.fixture(scope="module")
def taught(teacher, tmp_path_factory):
    run = tmp_path_factory.mktemp("taught") / "run"
    config = config_of(TASK, encoders={PLACE: teacher})
    return run, train(config, run)


def is_han(tokens):
    text = SOURCE.load_tokenizer().decode(np.ravel(tokens).tolist())
    return any(ord(letter) > 0x2E80 for letter in text)


def test_the_teacher_reads_english_versions_of_what_the_student_reads():
    example = SOURCE.open("train")[0]
    prepared = TASK.prepare(example, np.random.default_rng(0), 0.5)
    assert all(is_han(query.tokens) for query in prepared.queries)
    assert not any(is_han(tokens) for tokens in prepared.taught_queries)
    lines = [query.line for query in prepared.queries if query.line is not None]
    assert sorted(prepared.hidden) == sorted(lines) and len(lines) == 2
    for query, tokens in zip(prepared.queries, prepared.taught_queries):
        if query.line is not None:
            twin = example.lines["en"][query.line]
            np.testing.assert_array_equal(tokens[1:], twin.tokens[: len(tokens) - 1])
    silent = lambda segments: [
        s.frames.tolist() for s in segments if len(s.tokens) == 1
    ]
    assert silent(prepared.taught_segments) == silent(prepared.segments)


def test_the_student_draws_what_it_draws_without_teachers():
    plain = MomentRetrieval(languages=("zh",), **FIELDS)
    alone = Pipeline(plain, name="moments", seed=0).batch(1)
    batch = Pipeline(TASK, name="moments", seed=0).batch(1)
    for field in dataclasses.fields(alone):
        jax.tree.map(
            np.testing.assert_array_equal,
            getattr(batch, field.name),
            getattr(alone, field.name),
        )
    assert batch.teacher_videos.features is None
    assert batch.teacher_queries.mask.shape == alone.queries.mask.shape


def test_scores_are_those_of_the_teachers_own_run(teacher, taught):
    """Of the English version, by the teacher alone."""
    run, _ = taught
    pipeline = Pipeline(TASK, name="moments", seed=0)
    batch = pipeline.batch(0)
    _, params = checkpoint.load_params(run)
    found = TaskModel(MODEL, {"moments": TASK.head()}).apply(
        {"params": params}, "moments", batch
    )
    english = dataclasses.replace(
        batch,
        videos=batch.teacher_videos.replace(features=batch.videos.features),
        queries=batch.teacher_queries,
    )
    plain = MomentRetrieval(**FIELDS)
    _, own = checkpoint.load_params(teacher)
    wanted = TaskModel(MODEL, {"moments": plain.head()}).apply(
        {"params": own}, "moments", english
    )
    real = np.asarray(batch.teacher_queries.mask)
    assert found.teacher_scores.shape == (1, *found.scores.shape)
    np.testing.assert_allclose(
        np.asarray(found.teacher_scores)[0][real],
        np.asarray(wanted.scores)[real],
        atol=1e-6,
    )


def test_training_changes_the_student_alone(teacher, taught):
    _, state = taught
    own = named_leaves(exported.load_params(teacher)["hero"])
    for name, leaf in named_leaves(state.params["heads_moments"]["teacher_0"]).items():
        np.testing.assert_array_equal(leaf, own[name], err_msg=name)
    assert int(state.num_bad) == 0


def test_of_a_query_without_an_english_version_teachers_are_certain(taught):
    """So that what is left of its loss is InfoNCE."""
    batch = Pipeline(TASK, name="moments", seed=0).batch(0)
    none = batch.teacher_queries.replace(
        segment_of=np.zeros_like(batch.teacher_queries.segment_of)
    )
    _, params = checkpoint.load_params(taught[0])
    found = TaskModel(MODEL, {"moments": TASK.head()}).apply(
        {"params": params}, "moments", batch.replace(teacher_queries=none)
    )
    true = np.eye(TASK.batch_size)[np.asarray(batch.video_of)]
    np.testing.assert_array_equal(found.teacher_scores[0], 2 * true - 1)


def test_a_searching_model_needs_no_teachers():
    portable = TASK.portable()
    assert type(portable) is MomentRetrieval
    assert portable.languages == ("zh",) and portable.batch_size == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"teachers": ()}, "teachers: found none"),
        ({"switch_rate": 0.2}, "switch_rate 0.2"),
    ],
)
def test_what_cannot_be_taught_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(TASK, **change)


def test_a_language_that_is_not_there_is_refused():
    task = dataclasses.replace(TASK, teacher_language="ko")
    with pytest.raises(ValueError, match="teacher_language: found ko, expected one of"):
        Pipeline(task, name="moments", seed=0)


def test_a_teacher_of_another_size_or_place_is_refused(teacher, tmp_path):
    tower = dataclasses.replace(MODEL.cross_modal, num_layers=2)
    larger = dataclasses.replace(MODEL, cross_modal=tower)
    task = dataclasses.replace(TASK, teachers=(larger,))
    with pytest.raises(WeightsError, match="misshapen"):
        train(config_of(task, encoders={PLACE: teacher}), tmp_path / "a")
    nowhere = config_of(TASK, encoders={"heads_moments/teacher_1": teacher})
    with pytest.raises(WeightsError, match="no parameters at heads_moments/teacher_1"):
        train(nowhere, tmp_path / "b")


def test_a_rule_that_would_change_the_teacher_is_refused(teacher, tmp_path):
    config = config_of(
        TASK,
        encoders={PLACE: teacher},
        optimizer=OptimizerConfig(skips_untouched=False),
    )
    with pytest.raises(UserError, match="which have to stay"):
        train(config, tmp_path / "run")
