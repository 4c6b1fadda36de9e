import dataclasses
import itertools

import jax
import numpy as np
import pytest

from hero_jax.errors import UserError
from hero_jax.pipeline import Pipeline
from hero_jax.tasks import packing
from hero_jax.tasks.mlm import Mlm
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from tests.corpora import MemorySource

SOURCE = MemorySource(num_videos=43)


def retrieval(**changes):
    task = MomentRetrieval(
        source=SOURCE, batch_size=8, num_subtitle_queries=2, num_annotated_queries=1
    )
    return dataclasses.replace(task, **changes)


def pipeline(task=None, **options):
    return Pipeline(task or retrieval(), name="moments", **({"seed": 3} | options))


def assert_equal(first, second):
    leaves = jax.tree.leaves
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for a, b in zip(leaves(first), leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("task", [retrieval(), Mlm(source=SOURCE, batch_size=8)])
def test_a_batch_depends_on_seed_and_number_alone(task):
    assert_equal(pipeline(task).batch(5), pipeline(task).batch(5))
    streamed = list(itertools.islice(pipeline(task).batches(2), 4))
    assert_equal(streamed[3], pipeline(task).batch(5))
    other = pipeline(task, seed=4).batch(5)
    assert not np.array_equal(other.videos.features, streamed[3].videos.features)


@pytest.mark.parametrize("num_hosts", [1, 2, 4])
@pytest.mark.parametrize("num_groups", [1, 4])
def test_hosts_together_read_the_global_batch(num_hosts, num_groups):
    options = {"num_groups": num_groups, "multiple": 4}
    whole = pipeline(**options).batch(3)
    parts = [
        pipeline(**options).batch(3, host=host, num_hosts=num_hosts)
        for host in range(num_hosts)
    ]
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    assert_equal(joined, whole)


def test_worker_processes_change_nothing():
    expected = [pipeline().batch(k) for k in range(1, 10)]
    for num_workers in (2, 4):
        stream = pipeline(num_workers=num_workers).batches(1)
        for batch in expected:
            assert_equal(next(stream), batch)


def test_every_example_is_used_before_any_stratum_repeats():
    order = pipeline().order
    sizes = {len(stratum) for stratum in order.strata}
    assert sum(map(len, order.strata)) == 43 and max(sizes) - min(sizes) <= 1
    used = [i for block in range(max(sizes)) for i, _ in order.block(block)]
    assert set(used) == set(range(43))
    first_visits = [i for block in range(min(sizes)) for i, _ in order.block(block)]
    assert len(set(first_visits)) == len(first_visits)


def test_a_later_visit_draws_anew():
    examples = SOURCE.open("train")
    task = retrieval()
    draws = [
        task.prepare(examples[4], np.random.default_rng((3, visit)), 0.5)
        for visit in (0, 1)
    ]
    first, second = ([q.tokens.tolist() for q in d.queries] for d in draws)
    assert first != second


def test_the_static_shape_holds_and_overflow_is_never_dropped(caplog):
    stream = pipeline()
    shapes = {stream.batch(k).videos.tokens.shape for k in range(20)}
    assert len(shapes) == 1
    stream.capacity = {"rows": 3, "query_rows": 1}
    batch = stream.batch(0)
    assert batch.videos.tokens.shape[0] > 3
    assert "compiling a larger shape" in caplog.text
    slots = lambda b: int((b.videos.segment > 0).sum())
    assert slots(batch) == slots(pipeline().batch(0))


def test_rows_are_at_least_95_percent_full_on_the_tv_profile():
    source = MemorySource(num_videos=300, seed=1)
    task = MomentRetrieval(source=source, batch_size=32, num_subtitle_queries=1)
    full = pipeline(task)
    fills = [packing.fill(full.batch(k).videos.segment) for k in range(100)]
    assert np.mean(fills) >= 0.95
    assert full.fill == pytest.approx(np.mean(fills), abs=0.02)


def test_more_videos_than_there_are_is_refused_with_the_remedy():
    with pytest.raises(UserError, match="batch_size: found 64.*43 examples"):
        pipeline(retrieval(batch_size=64))


def test_the_fingerprint_names_what_batches_depend_on():
    fields = pipeline().fingerprint()
    assert fields["seed"] == 3 and fields["batch_size"] == 8
    assert fields["dataset"] == "memory-0-43" and "tokenizer" in fields
    assert fields != pipeline(retrieval(num_annotated_queries=0)).fingerprint()


def test_pack_groups_keep_a_video_and_its_rows_together():
    batch = pipeline(num_groups=4).batch(0).videos
    frames_per_group = 2 * batch.features.shape[1]
    assert batch.num_groups == 4 and batch.frame.max() < frames_per_group
    rows = len(batch.tokens) // 4
    for group in range(4):
        frames = batch.frame[group * rows : (group + 1) * rows]
        mask = batch.frame_mask[group * 2 : group * 2 + 2].ravel()
        assert mask[frames[frames >= 0]].all()
