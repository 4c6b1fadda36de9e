"""The pre-training tasks: our heads and losses on the recorded official batches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity_cases
from einops import rearrange
from parity_cases import load, videos_of, word_loss
from parity_harness import Case, Golden, Result

from hero_jax import pretrained
from hero_jax.losses.cross_entropy import cross_entropies, cross_entropy
from hero_jax.losses.frame_nce import FrameNce
from hero_jax.losses.regression import FrameDistance
from hero_jax.model.hero import Hero
from hero_jax.model.multitask import TaskModel
from hero_jax.tasks.fom import FomBatch, FomHead
from hero_jax.tasks.mfm import MfmBatch, MfmHead

Loss = Callable[[Any], tuple[Any, dict[str, Any]]]
"""Parameters -> the total, and the outputs under official names."""


def predictor(hero: Hero, head: Any, batch: Any) -> Callable[[Any], Any]:
    """Parameters -> what a task's head says about a batch."""
    model = TaskModel(hero.config, {"task": head})
    return lambda params: model.apply({"params": {"hero": params}}, "task", batch)


def masked_batch(case: Case) -> MfmBatch:
    given = case.inputs
    videos = videos_of(given, case.meta["in_meta"])
    is_masked = given["c_v_masks"] > 0
    return MfmBatch(videos, is_masked, np.flatnonzero(is_masked))


def frame_distance(hero: Hero, case: Case) -> Loss:
    """`mffr`: the hidden frames as regression."""
    batch, targets = masked_batch(case), case.inputs["feat_targets"]
    predict = predictor(hero, MfmHead(), batch)

    def loss(params):
        predictions = predict(params)
        masked = predictions[batch.is_masked]
        pair, every = (masked[None], targets[None]), np.ones((1, len(targets)), bool)
        total, _ = FrameDistance()(*pair, every, *pair[:1], every)
        errors = (masked - targets) ** 2
        return total, {"pred": masked, "loss_mat": errors, "loss": total}

    return loss


def frame_nce(hero: Hero, case: Case) -> Loss:
    """`mfm_nce`: the hidden frames as a choice, padding among the negatives (H-8)."""
    batch, targets = masked_batch(case), case.inputs["feat_targets"]
    predict = predictor(hero, MfmHead(), batch)
    objective = FrameNce(temperature=float(case.meta.get("nce_temp", 1)))

    def loss(params):
        predictions = predict(params)
        masked, others = predictions[batch.is_masked], predictions[~batch.is_masked]
        masks = [np.ones((1, len(x)), bool) for x in (masked, others)]
        args = (masked[None], targets[None], masks[0], others[None], masks[1])
        total, _ = objective(*args)
        logits, labels = objective.logits(*args)[0], jnp.arange(len(targets))
        return total, {
            "pred": masked,
            "neg_pred": others,
            "logits": logits,
            "loss_vec": cross_entropies(logits, labels, masks[0][0]),
            "loss": total,
        }

    return loss


def order_batch(case: Case) -> FomBatch:
    """The recorded order is where each frame goes, ours where each is from."""
    given = case.inputs
    videos = videos_of(given, case.meta["in_meta"])
    source = np.argsort(given["shuffled_orders"], axis=1)
    return FomBatch(videos, source, given["targets"] >= 0)


def frame_order(hero: Hero, case: Case) -> Loss:
    """`fom`: the true place of every frame that was moved."""
    targets = case.inputs["targets"].ravel()
    predict = predictor(hero, FomHead(), order_batch(case))

    def loss(params):
        logits = rearrange(predict(params), "b f v -> (b f) v")
        total = cross_entropy(logits, targets, targets >= 0)
        return total, {"logits": logits, "loss": total}

    return loss


def matching(hero: Hero, case: Case) -> Loss:
    """A batch of vsm within a trajectory; `vsm_*` has cases of its own."""
    (batch,) = parity_cases.batches_of(case)

    def loss(params):
        predictions = hero.apply(
            {"params": params}, *batch, method=parity_cases.predict
        )
        return parity_cases.retrieval_loss(case, case.inputs, predictions)

    return loss


LOSSES = {
    "mlm": lambda hero, case: word_loss(hero, case.inputs),
    "mffr": frame_distance,
    "mfm_nce": frame_nce,
    "fom": frame_order,
    "vsm": matching,
}


def run_alone(golden: Golden, case: Case, dtype: str) -> Result:
    """The outputs and the gradient of one recorded batch of a task."""
    hero, params = load(golden, case.meta["weights"], dtype)
    loss = LOSSES[case.name](hero, case)
    gradient, outputs = jax.jit(jax.grad(loss, has_aux=True))(params)
    return Result(outputs, pretrained.to_official(gradient))


HANDLERS = {"mlm|mffr|mfm_nce|fom": run_alone}


def trajectory_losses(hero: Hero, case: Case) -> list[Loss]:
    """Those of the batches of a recorded training run, in the order of its tasks."""
    losses = []
    for number, task in enumerate(case.meta["tasks"]):
        facts = case.meta[f"in{number}_meta"]
        meta = {"in_meta": facts, "hparams": case.meta["hparams"]}
        arrays = {f"in/{k}": v for k, v in case.under(f"in{number}/").items()}
        losses.append(LOSSES[task.replace("-", "_")](hero, Case(task, meta, arrays)))
    return losses
