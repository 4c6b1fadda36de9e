"""Question answering and entailment: our model on the recorded official batches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from parity_cases import load, videos_of
from parity_harness import Arrays, Case, Golden, Result

from hero_jax import pretrained
from hero_jax.losses.answer import AnswerLoss
from hero_jax.losses.verdict import verdict_loss
from hero_jax.model.hero import Hero
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.model.official import text_batch


def texts_of(arrays: Arrays, prefix: str) -> TextBatch:
    names = ("input_ids", "pos_ids", "attn_masks")
    return text_batch(*(arrays[f"{prefix}_{name}"] for name in names))


def frames_after(hero: Hero, videos: VideoBatch, texts: TextBatch) -> Any:
    """Frames of each copy of a video that have read its text."""
    return hero.contextualise_beside(hero.fuse(videos), videos.frame_mask, texts)


def question_loss(hero: Hero, case: Case) -> Callable[[Any], tuple[Any, dict]]:
    """Parameters -> the total, and the outputs; a copy of the video per candidate."""
    given = case.inputs
    videos, texts = videos_of(given, case.meta["in_meta"]), texts_of(given, "qa")
    copies = (len(given["targets"]), len(videos.features) // len(given["targets"]))
    objective = AnswerLoss(float(case.meta["lw_st_ed"]))

    def predict(h: Hero):
        frames = frames_after(h, videos, texts)
        of_question = lambda x: x.reshape(*copies, *x.shape[1:])
        return h.answer(of_question(frames), of_question(videos.frame_mask))

    def loss(params):
        logits, start, end = hero.apply({"params": params}, method=predict)
        labels, spans = jnp.asarray(given["targets"])[:, 0], given["ts_targets"]
        total, terms = objective(logits, start, end, labels, spans)
        return total, {
            "logits": logits,
            "st_logits": start,
            "ed_logits": end,
            "qa_loss": terms["answer"],
            "temporal_loss": terms["span"],
            "loss": total,
        }

    return loss


def questions(golden: Golden, case: Case, dtype: str) -> Result:
    """`videoqa_*`: logits, spans, losses and gradients."""
    hero, params = load(golden, case.meta["weights"], dtype)
    loss = jax.jit(jax.grad(question_loss(hero, case), has_aux=True))
    gradient, outputs = loss(params)
    return Result(outputs, pretrained.to_official(gradient))


def statements(golden: Golden, case: Case, dtype: str) -> Result:
    """`violin`: a copy of the video for each statement."""
    hero, params = load(golden, case.meta["weights"], dtype)
    given = case.inputs
    videos, texts = videos_of(given, case.meta["in_meta"]), texts_of(given, "q")

    @jax.jit
    def loss(params):
        predict = lambda h: h.statement(
            frames_after(h, videos, texts), videos.frame_mask
        )
        logits = hero.apply({"params": params}, method=predict)
        total = verdict_loss(logits, jnp.asarray(given["targets"])[:, 0])
        return total, {"logits": logits, "loss": total}

    gradient, outputs = jax.grad(loss, has_aux=True)(params)
    return Result(outputs, pretrained.to_official(gradient))


HANDLERS = {"videoqa_.*": questions, "violin": statements}
