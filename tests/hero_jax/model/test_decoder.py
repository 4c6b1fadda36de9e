"""The caption decoder: writing word by word is reading the whole caption at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.transformer import TransformerConfig

NUM, WORDS, FRAMES, WIDTH, LANGUAGES = 3, 7, 5, 12, 2


def config(**changes) -> HeroConfig:
    tower = TransformerConfig(width=WIDTH, num_heads=2, num_layers=1, mlp_width=16)
    return HeroConfig(
        **{
            "vocab_size": 40,
            "unused_words": 4,
            "feature_width": 6,
            "cross_modal": tower,
            "temporal": tower,
            "query_heads": 2,
            "decoder": TransformerConfig(WIDTH, 3, 2, 20),
            "max_caption_positions": 9,
            "num_caption_languages": LANGUAGES,
        }
        | changes
    )


def use(hero, tokens, frames, mask, language):
    states = hero.caption_states(tokens, frames, mask, language)
    return hero.word_logits(states.reshape(-1, WIDTH)).reshape(*tokens.shape, -1)


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    tokens = rng.integers(40, size=(NUM, WORDS))
    frames = rng.standard_normal((NUM, FRAMES, WIDTH)).astype(np.float32)
    mask = np.arange(FRAMES) < np.array([5, 2, 0])[:, None]
    given = (tokens, frames, mask, np.array([0, 1, 1]))
    hero = Hero(config())
    params = hero.init(jax.random.key(1), *given, method=use)
    noise = lambda x: x + 0.3 * jnp.asarray(rng.standard_normal(x.shape), x.dtype)
    params = jax.tree.map(noise, params)
    logits = jax.jit(lambda p, *a: hero.apply(p, *a, method=use))
    return hero, params, given, logits


def test_step_by_step_every_word_gets_the_same_logits(case):
    hero, params, (tokens, frames, mask, language), logits = case
    whole = logits(params, tokens, frames, mask, language)
    seen, past = hero.apply(params, frames, WORDS + 1, method="begin_captions")
    for place in range(WORDS):
        given = (tokens[:, place], jnp.array(place), past, seen, mask, language)
        one, past = hero.apply(params, *given, method="next_word_logits")
        np.testing.assert_allclose(one, whole[:, place], atol=1e-5)


def test_a_word_is_told_from_those_before_it_alone(case):
    _, params, (tokens, *rest), logits = case
    changed = tokens.copy()
    changed[:, 4:] += 1
    before, after = (logits(params, t, *rest) for t in (tokens, changed))
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert np.abs(before[:, 4:] - after[:, 4:]).max() > 1e-3


def test_frames_beyond_the_moment_do_not_matter_and_those_in_it_do(case):
    _, params, (tokens, frames, mask, language), logits = case
    before = logits(params, tokens, frames, mask, language)
    beyond = np.where(mask[..., None], frames, 99.0)
    padded = np.pad(beyond, ((0, 0), (0, 2), (0, 0)), constant_values=7.0)
    longer = np.pad(mask, ((0, 0), (0, 2)))
    after = logits(params, tokens, padded, longer, language)
    np.testing.assert_allclose(after[:2], before[:2], atol=1e-5)
    within = logits(params, tokens, frames + mask[..., None], mask, language)
    assert np.abs(within[:2] - before[:2]).max() > 1e-3


def test_a_moment_without_frames_stays_finite(case):
    _, params, given, logits = case
    assert np.isfinite(logits(params, *given)).all()


def test_the_language_changes_what_is_written_and_one_language_has_no_vector(case):
    _, params, (tokens, frames, mask, language), logits = case
    first, second = (
        logits(params, tokens, frames, mask, l) for l in (language, 1 - language)
    )
    assert np.abs(first - second).max() > 1e-3
    assert set(params["params"]["caption"]) == {
        "position",
        "norm",
        "language",
        "layers",
    }
    lone = Hero(config(num_caption_languages=1))
    given = (tokens, frames, mask, np.zeros_like(language))
    shapes = jax.eval_shape(
        lambda: lone.init(jax.random.key(0), *given, method=use)["params"]["caption"]
    )
    assert set(shapes) == {"position", "norm", "layers"}


def test_words_that_do_not_exist_are_never_told(case):
    _, params, given, logits = case
    assert logits(params, *given).shape == (NUM, WORDS, 36)


def test_a_decoder_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"decoder.width is 8"):
        config(decoder=TransformerConfig(8, 2, 1, 8))
