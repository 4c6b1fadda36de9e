import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.model.embeddings import FrameEmbedding, TextEmbedding
from hero_jax.model.layers import Numerics

POSITIONS = np.array([[0, 3, 4, 9]], np.int32)
LAST = np.array([[0, 3, 4, 4]], np.int32)


def test_words_beyond_the_last_position_stand_there_and_are_finite():
    embedding = TextEmbedding(9, 5, 6, Numerics())
    tokens = np.array([[2, 3, 5, 7]], np.int32)
    params = embedding.init(jax.random.key(0), tokens, LAST)
    found = embedding.apply(params, tokens, POSITIONS)
    np.testing.assert_array_equal(found, embedding.apply(params, tokens, LAST))
    assert np.isfinite(found).all()


def test_frames_beyond_the_last_position_stand_there_and_are_finite():
    embedding = FrameEmbedding(3, 5, 6, Numerics())
    frames = jax.random.normal(jax.random.key(1), (1, 4, 3))

    def embed(embedding, positions):
        projected = embedding.project(frames)
        return embedding(projected, positions, jnp.zeros(6))

    params = embedding.init(jax.random.key(0), LAST, method=embed)
    found = embedding.apply(params, POSITIONS, method=embed)
    expected = embedding.apply(params, LAST, method=embed)
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).all()
