import dataclasses

import numpy as np
import pytest

from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.retrieval.index import build_index
from hero_jax.retrieval.spans import SpanRules
from hero_jax.tasks import two_streams
from hero_jax.tasks.encoder import Encoder
from hero_jax.tasks.fom import Fom
from hero_jax.tasks.language_matrix import Asked, LanguageMatrix
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.question_answering import QuestionAnswering
from hero_jax.tasks.source import QueryText
from hero_jax.tasks.two_streams import Stream, StreamsError
from tests.corpora import MemorySource

TOWER = TransformerConfig(width=2, num_heads=1, num_layers=1, mlp_width=2)
CONFIG = HeroConfig(cross_modal=TOWER, temporal=TOWER, query_heads=1)
SOURCE = MemorySource(num_videos=2)


@dataclasses.dataclass(frozen=True, eq=False)
class Certain(Encoder):
    """Points at one frame, whatever is asked."""

    first: int = 0
    last: int = 2

    def boundary_probabilities(self, queries, frames, frame_mask):
        assert queries.shape[1] == frames.shape[2] == self.config.width
        count = np.arange(frame_mask.shape[1])
        rows = [np.tile(count == k, (len(frames), 1)) for k in (self.first, self.last)]
        return tuple(row.astype(np.float32) for row in rows)


def matrix(first, last, *, has_spans=True, alpha=1.0):
    encoder = Certain(CONFIG, {}, SOURCE, first=first, last=last)
    rules = SpanRules(alpha=alpha, min_frames=1, max_frames=9, max_videos=2)
    return LanguageMatrix(encoder, SOURCE.open("val"), has_spans, rules)


def asked(*vectors):
    text = QueryText("q", "", {}, (-1, -1))
    moments = (np.array([[0.0, 3.0]]),) * len(vectors)
    queries = (text,) * len(vectors)
    return Asked(queries, np.array(vectors, np.float32), np.array([1]), moments)


def index(*directions):
    """Videos of three equal frames of unit length."""
    frames = [np.tile(np.array(d, np.float32), (3, 1)) for d in directions]
    return build_index(["a", "b"], frames, [1.0, 1.0], fingerprint="")


def test_the_mean_of_choices_is_that_of_probabilities():
    """(1/4, 3/4) and (1/2, 1/2) are (3/8, 5/8)."""
    found = two_streams.mean_choice([np.array([[7, 7 + np.log(3)]]), np.zeros((1, 2))])
    np.testing.assert_allclose(found, np.log([[3 / 8, 5 / 8]]))


def test_the_mean_of_verdicts_is_that_of_probabilities():
    """0.8 and 0.4 are 0.6; one that is sure outweighs one that leans the other way."""
    logit = lambda p: np.log(p / (1 - p))
    found = two_streams.mean_verdict([logit(np.array([0.8])), logit(np.array([0.4]))])
    np.testing.assert_allclose(found, logit(0.6))
    extreme = two_streams.mean_verdict([np.array([[900.0]]), np.array([[-1.0]])])
    np.testing.assert_allclose(extreme, logit((1 + 1 / (1 + np.e)) / 2), rtol=1e-6)


# Query (1, 0). First stream: cosines 0.8 and 0; second: 0.1 and 0.9.
FIRST = index((0.8, 0.6), (0.0, 1.0))
SECOND = index((0.1, 0.99**0.5), (0.9, 0.19**0.5))
QUERIES = [asked((1.0, 0.0)), asked((2.0, 0.0))]  # length does not matter


def test_videos_are_ranked_by_the_mean_cosine():
    """(0.8 + 0.1) / 2 = (0 + 0.9) / 2 = 0.45: the true one, b, is no better."""
    matrices = [matrix(0, 2, has_spans=False), matrix(0, 2, has_spans=False)]
    answered, ranks = two_streams.together(matrices, QUERIES, [FIRST, SECOND])
    np.testing.assert_allclose(answered.found.scores, [[0.45, 0.45]], atol=1e-6)
    assert answered.vcmr is None and ranks.shape == (1,)


def test_moments_stand_in_videos_by_their_mean_exponential_weight():
    """alpha 2: (e^1.6 + e^0.2) / 2 = 3.087 for a, (1 + e^1.8) / 2 = 3.525 for b; a
    stream's sure span has half a probability at each end, so a quarter of the weight.
    """
    matrices = [matrix(0, 2, alpha=2.0), matrix(0, 1, alpha=2.0)]
    answered, ranks = two_streams.together(matrices, QUERIES, [FIRST, SECOND])
    expected = [(1 + np.exp(1.8)) / 2, (np.exp(1.6) + np.exp(0.2)) / 2]
    np.testing.assert_allclose(answered.found.scores, [expected], rtol=1e-5)
    assert answered.found.videos.tolist() == [[1, 0]] and ranks.tolist() == [1]
    best = answered.vcmr[0][0]  # the first frame is certain, the last one of two
    assert best[0] == 1 and best[1] == 0
    np.testing.assert_allclose(best[3], expected[0] / 2, rtol=1e-5)
    assert {row[2] for row in answered.svmr[0][:2].tolist()} == {2.0, 3.0}


def test_equal_scores_rank_last():
    scores = np.array([[0.5, 0.5, 0.2]])
    assert two_streams.ranks_of(scores, np.array([1])).tolist() == [2]


def test_streams_that_do_not_belong_together_are_refused():
    kinds = [MomentRetrieval(source=SOURCE), QuestionAnswering(source=SOURCE)]
    with pytest.raises(StreamsError, match="MomentRetrieval and QuestionAnswering"):
        two_streams.evaluate([Stream(k, CONFIG, {}) for k in kinds], "val")
    with pytest.raises(StreamsError, match="Fom has no scores"):
        two_streams.evaluate([Stream(Fom(source=SOURCE), CONFIG, {})], "val")
    other = index((1.0, 0.0), (0.0, 1.0))
    longer = build_index(["a", "b"], [np.ones((2, 2))] * 2, [1.0, 1.0], fingerprint="")
    with pytest.raises(StreamsError, match="lengths of videos differ"):
        two_streams.side_by_side([other, longer])
