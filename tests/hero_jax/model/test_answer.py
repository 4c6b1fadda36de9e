import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model.answer import AnswerHead, FrameVerdict
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.layers import Numerics
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.model.transformer import TransformerConfig

Q, N, F, D = 2, 3, 5, 4
FRAMES = jax.random.normal(jax.random.key(0), (Q, N, F, D))
MASK = jnp.arange(F) < jnp.array([5, 3])[:, None, None]
MASK = jnp.broadcast_to(MASK, (Q, N, F))


@pytest.fixture
def head():
    head = AnswerHead(D, Numerics())
    return head, head.init(jax.random.key(1), FRAMES, MASK)


def pooled(kernel, frames, mask, axis):
    """A softmax over one axis in plain numpy."""
    scores = np.where(mask, frames @ kernel[:, 0], -np.inf)
    shares = np.exp(scores - scores.max(axis=axis, keepdims=True))
    shares /= shares.sum(axis=axis, keepdims=True)
    return (shares[..., None] * frames).sum(axis=axis)


def mlp(params, x):
    inner = x @ params["inner"]["kernel"] + params["inner"]["bias"]
    inner = np.asarray(jax.nn.gelu(inner, approximate=False))
    inner = inner - inner.mean(axis=-1, keepdims=True)
    inner /= np.sqrt(inner.var(axis=-1, keepdims=True) + 1e-5)
    inner = inner * params["norm"]["scale"] + params["norm"]["bias"]
    return inner @ params["outer"]["kernel"] + params["outer"]["bias"]


def test_answers_pool_over_frames_and_moments_over_answers(head):
    head, variables = head
    logits, start, end = head.apply(variables, FRAMES, MASK)
    params, frames, mask = variables["params"], np.asarray(FRAMES), np.asarray(MASK)
    verdict = params["verdict"]
    expected = mlp(verdict["score"], pooled(verdict["pool"]["kernel"], frames, mask, 2))
    np.testing.assert_allclose(logits, expected[..., 0], rtol=2e-5, atol=1e-5)
    everywhere = np.ones_like(mask)
    seen = pooled(params["pool"]["kernel"], frames, everywhere, 1)
    ends = mlp(params["boundaries"], seen)
    own = mask[:, 0]
    np.testing.assert_allclose(start[own], ends[own][:, 0], rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(end[own], ends[own][:, 1], rtol=2e-5, atol=1e-5)
    assert np.all(start[~own] < -1e8)


def test_the_two_pools_begin_alike_and_heads_as_in_pytorch(head):
    params = head[1]["params"]
    assert np.array_equal(params["pool"]["kernel"], params["verdict"]["pool"]["kernel"])
    wide = FrameVerdict(64, Numerics())
    frames, mask = jnp.zeros((1, 2, 64)), jnp.ones((1, 2), bool)
    params = wide.init(jax.random.key(2), frames, mask)["params"]
    for layer, fan_in in (("inner", 64), ("outer", 128)):
        for values in params["score"][layer].values():
            assert np.abs(values).max() <= fan_in**-0.5
        kernel = np.abs(params["score"][layer]["kernel"])
        assert kernel.max() > 0.9 * fan_in**-0.5


def test_frames_beyond_the_end_do_not_matter(head):
    head, variables = head
    changed = jnp.where(MASK[..., None], FRAMES, 100.0)
    for one, other in zip(
        head.apply(variables, FRAMES, MASK), head.apply(variables, changed, MASK)
    ):
        np.testing.assert_array_equal(one, other)


def tiny_hero():
    tower = TransformerConfig(width=8, num_heads=2, num_layers=1, mlp_width=12)
    config = HeroConfig(
        vocab_size=40, feature_width=6, cross_modal=tower, temporal=tower,
        query_heads=2, dropout=0.0,
    )  # fmt: skip
    return Hero(config)


def test_copies_of_a_video_share_its_features():
    """Stored once or once a copy: the same frames come out."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((2, 3, 6)).astype(np.float32)
    tokens = rng.integers(5, 40, (6, 7)).astype(np.int32)
    segment = np.ones((6, 7), np.int32)
    frame = np.full((6, 7), -1, np.int32)
    frame[:, :3] = 3 * np.arange(6)[:, None] + np.arange(3)
    position = np.tile([0, 1, 2, 0, 1, 2, 3], (6, 1)).astype(np.int32)
    mask = np.array([[True] * 3] * 3 + [[True, True, False]] * 3)
    layout = (mask, tokens, segment, position, frame)
    texts = TextBatch(
        tokens[:, :4], segment[:, :4], np.tile(np.arange(4, dtype=np.int32), (6, 1)),
        np.arange(6, dtype=np.int32), np.ones(6, np.int32),
    )  # fmt: skip
    hero = tiny_hero()

    def read(hero, features):
        videos = VideoBatch(features, *layout)
        return hero.contextualise_beside(hero.fuse(videos), mask, texts)

    init = lambda key: hero.init(key, features, method=read)
    params = jax.jit(init)(jax.random.key(0))
    run = jax.jit(lambda features: hero.apply(params, features, method=read))
    once, thrice = run(features), run(np.repeat(features, 3, axis=0))
    np.testing.assert_allclose(once, thrice, atol=1e-6)


def test_a_text_behind_the_frames_changes_them_and_its_padding_does_not():
    hero = tiny_hero()
    fused = jax.random.normal(jax.random.key(3), (2, 3, 8))
    mask = np.array([[True, True, True], [True, True, False]])

    def texts(tokens):
        tokens = np.array(tokens, np.int32)
        places = np.tile(np.arange(tokens.shape[1], dtype=np.int32), (2, 1))
        return TextBatch(
            tokens, (tokens != 1).astype(np.int32), places,
            np.arange(2, dtype=np.int32), np.ones(2, np.int32),
        )  # fmt: skip

    read = lambda hero, texts: hero.contextualise_beside(fused, mask, texts)
    short = [[7, 8], [9, 1]]
    init = lambda key: hero.init(key, texts(short), method=read)
    params = jax.jit(init)(jax.random.key(0))
    run = jax.jit(lambda texts: hero.apply(params, texts, method=read))
    expected = run(texts(short))
    padded = run(texts([[7, 8, 1, 1], [9, 1, 1, 1]]))
    np.testing.assert_allclose(padded[mask], expected[mask], atol=1e-6)
    other = run(texts([[7, 8], [10, 1]]))
    assert np.abs(other[1] - expected[1])[:2].max() > 1e-3
    np.testing.assert_array_equal(other[0], expected[0])
