import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.ranking import VSM
from tests.hero_jax.losses.score_cases import (
    ONE_EACH,
    TWO_EACH,
    own_blocks,
    random_case,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "model"


def test_hinge_matches_the_worked_example():
    _, terms = VSM()(ONE_EACH, *own_blocks(3, 3), step=0)
    # Rows: [0, .05] [0, 0] [.4, .35]; columns: [0, .3] [0, .15] [.15, 0].
    np.testing.assert_allclose(terms["context"], 0.8 / 6, rtol=1e-6)
    np.testing.assert_allclose(terms["query"], 0.6 / 6, rtol=1e-6)


def test_hard_negatives_weigh_ten_and_the_others_a_tenth():
    objective = VSM(hard_pool_size=1, hard_start_step=5)
    _, terms = objective(ONE_EACH, *own_blocks(3, 3), step=5)
    np.testing.assert_allclose(terms["context"], 0.755833, atol=1e-6)
    np.testing.assert_allclose(terms["query"], 1.0, atol=1e-6)


def test_queries_of_one_video_are_not_each_others_negatives():
    context, query = VSM().per_query(TWO_EACH, *own_blocks(4, 2), step=0)
    np.testing.assert_allclose(context, [0, 0.5, 0.15, 0], atol=1e-6)
    np.testing.assert_allclose(query, [0, 0.15, 0.2, 0], atol=1e-6)


def test_lse_matches_the_worked_example():
    _, terms = VSM(kind="lse")(TWO_EACH, *own_blocks(4, 2), step=0)
    np.testing.assert_allclose(terms["context"], 0.650179, atol=1e-6)
    np.testing.assert_allclose(terms["query"], 0.635774, atol=1e-6)


def test_total_is_weighted_and_divided_among_the_reference_gpus():
    plain = VSM(context_weight=3.0, query_weight=5.0)
    total, terms = plain(TWO_EACH, *own_blocks(4, 2), step=0)
    np.testing.assert_allclose(total, 3 * terms["context"] + 5 * terms["query"])
    shared, _ = VSM(context_weight=3.0, query_weight=5.0, reference_gpus=16)(
        TWO_EACH, *own_blocks(4, 2), step=0
    )
    np.testing.assert_allclose(shared, total / 16)


def test_the_last_started_entry_of_a_schedule_applies():
    objective = VSM(
        hard_pool_size=(1, 4, 2),
        hard_weight=(10.0, 20.0, 30.0),
        hard_start_step=(100, None, 200),
    )
    weights = lambda step: [float(w) for w in objective.hard_weights(step)]
    assert weights(99) == [0, 1, 1]
    np.testing.assert_allclose(weights(100), [1, 10, 0.1], rtol=1e-6)
    np.testing.assert_allclose(weights(200), [2, 30, 0.1], rtol=1e-6)


def test_a_schedule_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="give all three the same number"):
        VSM(hard_pool_size=(20, 40))


def test_a_video_twice_in_a_batch_is_its_own_negative_only_where_allowed():
    scores = np.array([[0.6, 0.6, 0.1], [0.5, 0.5, 0.2], [0.0, 0.1, 0.7]], np.float32)
    official, both_ways = own_blocks(3, 3)
    context, _ = VSM().per_query(scores, official, both_ways, step=0)
    np.testing.assert_allclose(context, [0.05, 0.05, 0], atol=1e-6)  # H-7
    same = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    context, _ = VSM().per_query(scores, same, ~same, step=0)
    np.testing.assert_allclose(context, [0, 0, 0], atol=1e-6)


def test_sampled_negatives_average_to_all_of_them():
    scores, positives, allowed = random_case()
    sampled = VSM(negatives="sampled")
    keys = jax.random.split(jax.random.key(0), 4000)
    losses = jax.jit(
        jax.vmap(lambda key: sampled(scores, positives, allowed, step=0, key=key)[0])
    )(keys)
    expected, _ = VSM()(scores, positives, allowed, step=0)
    np.testing.assert_allclose(np.mean(losses), expected, rtol=0.02)


def test_sampled_hard_negatives_stay_within_the_pool():
    *_, allowed = random_case()
    objective = VSM(negatives="sampled", hard_pool_size=2, hard_start_step=0)
    for seed in range(20):
        ranks = objective.draw_ranks(
            jnp.asarray(allowed), step=0, key=jax.random.key(seed)
        )
        assert all(np.max(rank) <= 1 and np.min(rank) == 0 for rank in ranks)


def test_sampling_without_a_key_says_so():
    with pytest.raises(ValueError, match="key is None"):
        VSM(negatives="sampled")(ONE_EACH, *own_blocks(3, 3), step=0)


def recorded(case):
    """Official scores, one recorded case and the objective it was recorded with."""
    description = json.loads((GOLDEN / f"{case}.json").read_text())
    hparams = description["hparams"]
    objective = VSM(
        margin=hparams["margin"],
        kind=hparams["ranking_loss_type"],
        context_weight=hparams["lw_neg_ctx"],
        query_weight=hparams["lw_neg_q"],
        hard_pool_size=hparams["hard_pool_size"],
        hard_weight=hparams["hard_neg_weight"],
        hard_start_step=0 if hparams["use_hard_negative"] else None,
        negatives="all" if hparams["use_all_neg"] else "sampled",
    )
    arrays = dict(np.load(GOLDEN / f"{case}.npz"))
    scores = arrays.get("out/q2video_scores")
    if scores is None:
        scores = np.load(GOLDEN / "vsm_scores.npz")["out/q2video_scores"]
    return scores, objective, arrays


WITH_ALL = [
    "vsm_loss_hinge",
    "vsm_loss_hinge_hard",
    "vsm_loss_lse",
    "vsm_loss_lse_hard",
    "vsm_one_query",
    "vsm_one_video",
    "vcmr_train_multi",
    "vcmr_train_sampled_by_q",
    "vr_video_sub",
]


@pytest.mark.parametrize("case", WITH_ALL)
def test_official_losses_are_reproduced(case):
    scores, objective, arrays = recorded(case)
    total, terms = objective(scores, *own_blocks(*scores.shape), step=0)
    context = objective.context_weight * terms["context"]
    query = objective.query_weight * terms["query"]
    np.testing.assert_allclose(context, arrays["out/loss_neg_ctx"], rtol=2e-6)
    np.testing.assert_allclose(query, arrays["out/loss_neg_q"], rtol=2e-6)
    np.testing.assert_allclose(total, context + query, rtol=2e-6)


@pytest.mark.parametrize("case", WITH_ALL[:4])
def test_official_losses_of_each_query_are_reproduced(case):
    scores, objective, arrays = recorded(case)
    losses = objective.per_query(scores, *own_blocks(*scores.shape), step=0)
    weights = (objective.context_weight, objective.query_weight)
    for name, weight, loss in zip(("ctx", "q"), weights, losses):
        expected = arrays[f"out/eval_loss_neg_{name}"]
        np.testing.assert_allclose(weight * loss, expected, rtol=1e-5)


@pytest.mark.parametrize("case", ["vsm_loss_sampled", "vsm_loss_sampled_hard"])
def test_official_losses_with_sampled_negatives_are_reproduced(case):
    scores, objective, arrays = recorded(case)
    num_queries, num_videos = scores.shape
    # The official index counts a row's own columns, which were sorted to the front.
    context, query = objective.against_ranked(
        scores,
        *own_blocks(num_queries, num_videos),
        arrays["in/randint_ctx"] - 1,
        arrays["in/randint_q"] - num_queries // num_videos,
    )
    for name, weight, loss in (
        ("ctx", objective.context_weight, context),
        ("q", objective.query_weight, query),
    ):
        expected = arrays[f"out/loss_neg_{name}"]
        np.testing.assert_allclose(weight * np.mean(loss), expected, rtol=2e-6)
