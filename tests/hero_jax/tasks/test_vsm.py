import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.pipeline import Pipeline
from hero_jax.tasks.moment_head import MomentPredictions
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.vsm import Vsm, accuracies
from tests.corpora import MemorySource

SOURCE = MemorySource(num_videos=12)
TASK = Vsm(source=SOURCE, batch_size=4)


def test_its_batches_are_those_of_moment_retrieval():
    ours = Pipeline(TASK, name="vsm", seed=1).batch(0)
    plain = MomentRetrieval(source=SOURCE, batch_size=4)
    theirs = Pipeline(plain, name="vsm", seed=1).batch(0)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_official_batches_have_five_queries_a_video_whatever_it_says():
    task = dataclasses.replace(TASK, is_official=True)
    sparse = dataclasses.replace(task, source=MemorySource(num_videos=8, num_lines=3.0))
    example = next(e for e in sparse.examples("train") if 0 < len(e.lines["en"]) < 5)
    prepared = sparse.prepare(example, np.random.default_rng(0), 0.5)
    queries = sparse._padded(prepared)
    assert len(queries) == 5
    last = len(prepared.queries) - 1
    assert all(query is prepared.queries[last] for query in queries[last:])
    assert task.fingerprint("train") != TASK.fingerprint("train")


def test_official_draws_hold_out_lines_that_own_frames():
    task = dataclasses.replace(TASK, draws_officially=True)
    example = SOURCE.open("train")[0]
    prepared = task.prepare(example, np.random.default_rng(0), 0.5)
    silent = [s for s in prepared.segments if len(s.tokens) == 1]
    assert len(silent) == len(prepared.queries) == 5
    assert task.fingerprint("train") != TASK.fingerprint("train")


def test_accuracies_count_queries_and_known_boundaries():
    batch = Pipeline(TASK, name="vsm", seed=1).batch(0)
    spans = np.array(batch.span)
    spans[:5] = -1  # the first video's moments are not known
    batch = batch.replace(span=spans)
    num_videos, num_frames = batch.videos.frame_mask.shape
    scores = jax.nn.one_hot(batch.video_of, num_videos)
    scores = scores.at[:10].set(jax.nn.one_hot(jnp.full(10, 3), num_videos))
    boundary = lambda i: jax.nn.one_hot(jnp.maximum(spans[:, i], 0), num_frames)
    found = accuracies(
        MomentPredictions(scores, boundary(0), 1 - boundary(1), jnp.zeros(())), batch
    )
    assert float(found["video_accuracy"]) == 0.5
    assert float(found["start_accuracy"]) == 1
    assert float(found["end_accuracy"]) == 0
