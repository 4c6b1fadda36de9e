"""Captioning: our decoder on the recorded official batches."""

from typing import Any

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


def writing(golden: Golden, case: Case, dtype: str) -> Result:
    """`tvc_greedy`: step by step with what is kept of the words before.

    The official tokens go on behind the end of a caption; `greedy` itself stops.
    """
    hero, params = load(golden, case.meta["weights"], dtype)
    given, mask = case.inputs, case.inputs["cap_attn_mask"] > 0
    bos, eos, length = (case.meta[k] for k in ("bos", "eos", "max_step"))
    num, language = len(mask), np.zeros(len(mask), int)

    def begin(h: Hero):
        memory = memory_of(h, given, case.meta["in_meta"])
        return memory, *h.begin_captions(memory, length)

    apply: Any = lambda *args, **kw: hero.apply({"params": params}, *args, **kw)
    memory, frames, past = jax.jit(lambda: apply(method=begin))()
    step = jax.jit(
        lambda words, place, past: apply(
            words, place, past, frames, mask, language, method="next_word_logits"
        )
    )
    words, logits, kept = jnp.full(num, bos), [], past
    for place in range(length):
        now, kept = step(words, jnp.array(place), kept)
        words = jnp.argmax(now, axis=1)
        logits.append(now)
    logits = jnp.stack(logits, axis=1)
    tokens = jnp.argmax(logits, axis=2)
    ours = generation.greedy(
        step, past, num_texts=num, max_words=length, bos=bos, eos=eos
    )
    check_ends(np.asarray(ours), case.meta["greedy_decode"], eos)
    best, second = jnp.moveaxis(jax.lax.top_k(logits, 2)[0], 2, 0)
    return Result(
        {
            "encoder_outputs": memory,
            "tokens_full": tokens,
            "margin": best - second,
            "last_logits": logits,
        }
    )


def check_ends(tokens: np.ndarray, recorded: list[list[int]], eos: int) -> None:
    cut = [row[: [*row, eos].index(eos)] for row in tokens.tolist()]
    assert cut == recorded, f"{cut} instead of {recorded}"


HANDLERS = {"tvc_train_.*": training, "tvc_greedy": writing}
