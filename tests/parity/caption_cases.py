"""Captioning: our decoder on the recorded official batches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from parity_cases import load, videos_of
from parity_harness import Arrays, Case, Golden, Result

from hero_jax import pretrained
from hero_jax.losses.label_smoothing import LabelSmoothing
from hero_jax.model import generation
from hero_jax.model.hero import Hero


def memory_of(hero: Hero, arrays: Arrays, meta: Any) -> jax.Array:
    """The frames of every captioned moment, one after the other, zeros behind."""
    frames = hero.encode_videos(videos_of(arrays, meta))
    length = arrays["cap_attn_mask"].shape[1]
    moments = [
        jnp.pad(video[start:stop], ((0, length - (stop - start)), (0, 0)))
        for video, spans in zip(frames, meta["clip_ranges"])
        for start, stop in spans
    ]
    return jnp.stack(moments)


def training(golden: Golden, case: Case, dtype: str) -> Result:
    """`tvc_train_*`: logits of every word and the loss.

    Without smoothing the official mean also counts the words that padding stands for.
    """
    source = golden.batch(case)
    hero, params = load(golden, case.meta["weights"], dtype)
    given, meta = source.inputs, source.meta["in_meta"]
    targets = given["cap_tgt_ids"].reshape(-1)
    is_word, mask = targets != -1, given["cap_attn_mask"] > 0
    language = np.zeros(len(mask), int)

    def predict(h: Hero):
        memory = memory_of(h, given, meta)
        states = h.caption_states(given["cap_input_ids"], memory, mask, language)
        return memory, h.word_logits(states.reshape(-1, states.shape[-1]))

    @jax.jit
    def loss(params):
        memory, logits = hero.apply({"params": params}, method=predict)
        losses = LabelSmoothing(case.meta["lsr"]).each(logits, targets, is_word)
        losses = losses[is_word] if case.meta["lsr"] else losses
        shape = (*given["cap_input_ids"].shape, -1)
        outputs = {
            "encoder_outputs": memory,
            "logits": logits.reshape(shape),
            "loss_vec": losses,
            "loss": jnp.mean(losses),
        }
        return outputs["loss"], outputs

    gradient, outputs = jax.grad(loss, has_aux=True)(params)
    return Result(outputs, pretrained.to_official(gradient))


class Writer(NamedTuple):
    """The decoder at work on some moments."""

    memory: Any
    step: Callable[..., Any]
    past: Any

    def greedy(self, *, length: int, bos: int, eos: int) -> list[list[int]]:
        """Captions up to their ends."""
        words = generation.greedy(
            self.step,
            self.past,
            num_texts=len(self.memory),
            max_words=length,
            bos=bos,
            eos=eos,
        )
        return [row[: [*row, eos].index(eos)] for row in words.tolist()]

    def logits(self, bos: int, length: int) -> jax.Array:
        """Of every word of the likeliest captions, [captions, length, words].

        They go on behind their ends.
        """
        words, found, past = jnp.full(len(self.memory), bos), [], self.past
        for place in range(length):
            now, past = self.step(words, jnp.array(place), past)
            words = jnp.argmax(now, axis=1)
            found.append(now)
        return jnp.stack(found, axis=1)


def writer(
    golden: Golden, arrays: Arrays, meta: Any, length: int, dtype: str
) -> Writer:
    """With what is kept of the words before, word by word."""
    hero, params = load(golden, "tvc", dtype)
    mask = arrays["cap_attn_mask"] > 0
    language = np.zeros(len(mask), int)

    def begin(h: Hero):
        memory = memory_of(h, arrays, meta)
        return memory, *h.begin_captions(memory, length)

    apply: Any = lambda *args, **kw: hero.apply({"params": params}, *args, **kw)
    memory, frames, past = jax.jit(lambda: apply(method=begin))()
    step = jax.jit(
        lambda words, place, past: apply(
            words, place, past, frames, mask, language, method="next_word_logits"
        )
    )
    return Writer(memory, step, past)


def writing(golden: Golden, case: Case, dtype: str) -> Result:
    """`tvc_greedy`: the official tokens go on behind the end of a caption; `greedy`
    itself stops there."""
    bos, eos, length = (case.meta[k] for k in ("bos", "eos", "max_step"))
    ours = writer(golden, case.inputs, case.meta["in_meta"], length, dtype)
    written = ours.greedy(length=length, bos=bos, eos=eos)
    stacked = ours.logits(bos, length)
    best, second = jnp.moveaxis(jax.lax.top_k(stacked, 2)[0], 2, 0)
    return Result(
        {
            "encoder_outputs": ours.memory,
            "tokens_full": jnp.argmax(stacked, axis=2),
            "margin": best - second,
            "last_logits": stacked,
        },
        facts={"greedy_decode": written},
    )


HANDLERS = {"tvc_train_.*": training, "tvc_greedy": writing}
