"""A converted database is trained from with the token ids that it holds."""

from pathlib import Path

import pytest

from data_pipelines import stored_tokens
from data_pipelines.convert_db import convert_db
from data_pipelines.corpus import open_corpus
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.question_answering import QuestionAnswering
from hero_jax.tasks.source import Source
from hero_jax.tasks.validation import batches

GOLDEN = Path(__file__).resolve().parents[2] / "golden/data/db"


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    out = tmp_path_factory.mktemp("converted")
    assert [*convert_db(GOLDEN, out, datasets=["tvr", "tvqa"])]
    return out


def source(converted, dataset):
    path = stored_tokens.path_of(converted, dataset)
    return Source(directory=converted, dataset=dataset, tokenizer=path)


def test_examples_hold_the_stored_ids(converted):
    corpus = open_corpus(converted, "tvr", "val")
    ids = {(one.kind, one.record_id): one.texts for one in corpus.tokens}
    for example in source(converted, "tvr").open("val"):
        found = [list(line.tokens) for line in example.lines["en"]]
        wanted = [*map(list, ids["videos", example.video.video_id])]
        assert not found or found == wanted
        for query in example.queries:
            (stored,) = ids["queries", query.query_id]
            assert list(query.tokens["en"]) == [0, *stored]


def test_tasks_make_batches_of_them(converted):
    retrieval = MomentRetrieval(
        source=source(converted, "tvr"), batch_size=2, num_annotated_queries=1,
        num_subtitle_queries=0,
    )  # fmt: skip
    questions = QuestionAnswering(source=source(converted, "tvqa"), batch_size=2)
    for task, split in ((retrieval, "train"), (questions, "val")):
        assert [*batches(task, split)]
