import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model.hero import HeroConfig
from hero_jax.model.multitask import TaskModel
from hero_jax.model.transformer import TransformerConfig
from hero_jax.pipeline import Pipeline
from hero_jax.retrieval.spans import SpanRules
from hero_jax.tasks.encoder import own_reading, readings
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.source import Examples
from tests import corpora
from tests.corpora import MemorySource

SOURCE = MemorySource(num_videos=5)
TOWER = TransformerConfig(width=8, num_heads=2, num_layers=1, mlp_width=8)
MODEL = HeroConfig(
    vocab_size=400,
    feature_width=6,
    max_positions=128,
    max_frames=100,
    max_query_positions=60,
    cross_modal=TOWER,
    temporal=TOWER,
    query_heads=2,
)


@dataclasses.dataclass(frozen=True)
class Unlinked(MemorySource):
    """Some queries, or all, are published without their video and moment."""

    num_linked: int = 0

    def open(self, split: str) -> Examples:
        corpus = corpora.corpus(self, split)
        queries = [
            dataclasses.replace(
                query,
                texts={k: v for k, v in query.texts.items() if k == "en" or i % 2},
                video_id=query.video_id if i < self.num_linked else None,
                moments=query.moments if i < self.num_linked else (),
            )
            for i, query in enumerate(corpus.queries)
        ]
        return Examples(self, dataclasses.replace(corpus, queries=queries))


@dataclasses.dataclass(frozen=True)
class Described(MemorySource):
    """Videos are told in one language alone, and nobody says when."""

    told: str = "en"

    def open(self, split: str) -> Examples:
        corpus = corpora.corpus(self, split)
        videos = [
            dataclasses.replace(
                video,
                subtitles={
                    code: lines if code == self.told else ()
                    for code, lines in video.subtitles.items()
                },
            )
            for video in corpus.videos
        ]
        queries = [dataclasses.replace(query, moments=()) for query in corpus.queries]
        changed = dataclasses.replace(corpus, videos=videos, queries=queries)
        return Examples(self, changed)


def begun(source):
    """The task and random parameters."""
    task = MomentRetrieval(
        source=source, batch_size=4, rules=SpanRules(max_videos=5, max_frames=4)
    )
    trained = dataclasses.replace(task, source=SOURCE)
    batch = Pipeline(trained, name="moments", seed=0).batch(0)
    model = TaskModel(MODEL, {"moments": task.head()})
    return task, model.init(jax.random.key(0), "moments", batch)["params"]


def evaluate(source, folder):
    task, params = begun(source)
    results = task.evaluate(MODEL, params, "test", predictions_dir=folder)
    return results, json.loads((folder / "en-zh.json").read_text())


@pytest.mark.parametrize("num_linked", [0, 4])
def test_queries_without_ground_truth_are_answered_but_not_counted(
    num_linked, tmp_path
):
    source = Unlinked(num_videos=5, num_linked=num_linked)
    results, predictions = evaluate(source, tmp_path)
    cell = results["en"]["zh"]
    assert cell["num_queries"] == num_linked
    assert (cell["VR"] is None) == (num_linked == 0)
    assert len(predictions["VR"]) == len(predictions["VCMR"]) == 15
    assert len(predictions["SVMR"]) == num_linked
    assert all(len(entry["predictions"]) for entry in predictions["VCMR"])
    assert results["zh"]["en"]["num_queries"] == num_linked // 2


def test_only_the_ranks_of_counted_queries_count(tmp_path):
    results, predictions = evaluate(Unlinked(num_videos=5, num_linked=4), tmp_path)
    # The first three queries are about video 0, the fourth is about video 1.
    true = {"test0-0": 0, "test0-1": 0, "test0-2": 0, "test1-0": 1}
    found = {
        entry["desc_id"]: [row[0] for row in entry["predictions"]]
        for entry in predictions["VR"]
    }
    ranks = [1 + found[query].index(video) for query, video in true.items()]
    expected = np.mean(1 / np.array(ranks))
    assert results["en"]["zh"]["VR"]["MRR"] == pytest.approx(expected)


def test_every_number_can_be_made_again_from_the_ranks(tmp_path):
    source = Unlinked(num_videos=5, num_linked=4)
    results, _ = evaluate(source, tmp_path)
    task, params = begun(source)
    ranks = task.language_matrix(MODEL, params, "test").ranks()
    for asked, row in ranks.items():
        for read, found in row.items():
            cell = results[asked][read]
            assert np.mean(1 / found.video) == pytest.approx(cell["VR"]["MRR"])
            vcmr = found.moments["VCMR"]["0.5"]
            assert 100 * np.mean(vcmr <= 1) == pytest.approx(cell["VCMR"]["0.5"]["R@1"])


def test_a_language_nobody_asks_in_has_an_empty_cell(tmp_path):
    source = Unlinked(num_videos=1, num_linked=1)
    silent = dataclasses.replace(source, languages=("en", "zh"))
    results, _ = evaluate(silent, tmp_path)
    assert results["zh"]["en"]["num_queries"] == 0


@pytest.mark.parametrize(("told", "read"), [("zh", ["zh", "none"]), ("", ["none"])])
def test_a_language_nobody_speaks_is_no_column(told, read):
    task, params = begun(Described(num_videos=5, told=told))
    results = task.evaluate(MODEL, params, "test")
    ranks = task.language_matrix(MODEL, params, "test").ranks()
    assert list(results) == list(ranks) == ["en", "zh"]
    for asked in ("en", "zh"):
        assert list(results[asked]) == list(ranks[asked]) == read


def test_texts_in_a_language_nobody_speaks_find_videos_read_without_subtitles():
    examples = Described(num_videos=5, told="zh").open("test")
    assert [own_reading(examples, code) for code in ("en", "zh")] == ["none", "zh"]
    silent = Described(num_videos=5, told="", channels="subtitles").open("test")
    assert readings(silent) == ("en", "zh")  # there is nothing else to read


def test_without_moments_there_are_no_numbers_about_them():
    """Not zeros, which would say that nothing was found."""
    task, params = begun(Described(num_videos=5))
    cell = task.evaluate(MODEL, params, "test")["zh"]["en"]
    assert cell["VR"]["MRR"] > 0 and cell["num_queries"] == 15
    kinds = cell["by_type"].values()
    for scores in (cell, *kinds, cell["chance"]):
        assert scores["SVMR"] is None and scores["VCMR"] is None
    ranks = task.language_matrix(MODEL, params, "test").ranks()["zh"]["en"]
    assert ranks.moments == {"SVMR": None, "VCMR": None}
    assert np.isfinite(ranks.video).all()


def test_queries_without_a_moment_train():
    task = dataclasses.replace(
        begun(SOURCE)[0],
        source=Described(num_videos=5),
        num_subtitle_queries=0,
        num_annotated_queries=2,
        span_rate=1.0,
    )
    batch = Pipeline(task, name="moments", seed=0).batch(0)
    assert batch.queries.mask.all() and np.all(batch.span == -1)
    model = TaskModel(MODEL, {"moments": task.head()})
    params = model.init(jax.random.key(0), "moments", batch)
    predictions = model.apply(params, "moments", batch)
    loss, terms = task.loss(predictions, batch, step=jnp.asarray(0), key=None)
    assert np.isfinite(loss) and loss > 0
    assert terms["start"] == terms["end"] == 0


def test_a_split_without_videos_is_refused_by_name():
    empty = dataclasses.replace(corpora.corpus(SOURCE, "val"), videos=())
    with pytest.raises(ValueError, match="memory: val: has no videos"):
        Examples(SOURCE, empty)
