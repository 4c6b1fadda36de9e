"""What must hold for every retrieval objective, whatever its formula."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from hero_jax.losses import Objective
from hero_jax.losses.decoupled import Decoupled
from hero_jax.losses.distillation import Distillation
from hero_jax.losses.hard_negative import HardNegative
from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.inter_intra import InterIntra
from hero_jax.losses.lexical import Lexical
from hero_jax.losses.mil_nce import MilNCE
from hero_jax.losses.multi_positive import MultiPositive
from hero_jax.losses.neighbourhood import Neighbourhood
from hero_jax.losses.ranking import VSM
from hero_jax.losses.semi_hard import SemiHard
from hero_jax.losses.siglip import SigLIP
from hero_jax.losses.triplet_max import TripletMax
from hero_jax.losses.triplet_sum import TripletSum
from tests.hero_jax.losses.score_cases import pad, random_case

OBJECTIVES = {
    "hinge": VSM(hard_start_step=None),
    "hinge_hard": VSM(hard_pool_size=2, hard_start_step=0),
    "lse_hard": VSM(kind="lse", hard_pool_size=3, hard_start_step=0),
    "info_nce": InfoNCE(),
    "triplet_sum": TripletSum(),
    "triplet_max": TripletMax(),
    "multi_positive": MultiPositive(),
    "mil_nce": MilNCE(),
    "siglip": SigLIP(),
    "decoupled": Decoupled(),
    "hard_negative": HardNegative(hardness=2.0, prior=0.05),
    "inter_intra_own": InterIntra(),
    "inter_intra_all": InterIntra(intra_scope="all"),
    "lexical": Lexical(),
    "distillation": Distillation(),
}
DRAWING = {"semi_hard": SemiHard(start_steps=(0, 1, 2)), "neighbours": Neighbourhood()}
"""What they draw depends on the order and number of queries."""

parametrised = lambda objectives: pytest.mark.parametrize(
    "objective", objectives.values(), ids=objectives.keys()
)
every_objective = parametrised(OBJECTIVES | DRAWING)
every_exact_objective = parametrised(OBJECTIVES)


def vectors_of(scores):
    """All that any objective reads: derived from the scores, as padded as they are."""
    return {
        "log_scale": jnp.float32(2.0),
        "bias": jnp.float32(-1.0),
        "intra_scores": 0.8 * scores - 0.1,
        "teacher_scores": jnp.stack([0.5 * scores, scores**2]),
    }


def loss_of(objective, scores, positives, allowed):
    return objective(
        scores,
        positives,
        allowed,
        step=1,
        key=jax.random.key(0),
        vectors=vectors_of(scores),
    )[0]


@functools.cache
def compiled(objective):
    """(scores, positives, allowed) -> value and gradient."""
    return jax.jit(jax.value_and_grad(functools.partial(loss_of, objective)))


@every_objective
def test_every_objective_has_the_common_signature(objective):
    assert isinstance(objective, Objective)


@every_objective
def test_raising_a_true_score_helps_and_raising_a_negative_hurts(objective):
    scores = np.full((4, 4), 0.1, np.float32)
    own = np.eye(4, dtype=bool)
    _, gradient = compiled(objective)(scores, own, ~own)
    assert np.all(gradient[own] < 0)
    assert np.all(np.sum(np.where(own, 0, gradient), axis=1) > -1e-6)
    assert np.sum(np.where(own, 0, gradient)) > 0


@every_exact_objective
def test_order_of_queries_and_videos_does_not_matter(objective):
    case = random_case()
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(12), rng.permutation(5)
    shuffled = [array[rows][:, columns] for array in case]
    step = compiled(objective)
    (before, gradient), (after, moved) = step(*case), step(*shuffled)
    np.testing.assert_allclose(before, after, rtol=1e-5)
    np.testing.assert_allclose(gradient[rows][:, columns], moved, atol=1e-5)


@every_exact_objective
def test_padding_changes_neither_value_nor_gradient(objective):
    scores, positives, allowed = random_case()
    step = compiled(objective)
    plain, gradient = step(scores, positives, allowed)
    masks = pad(positives, 3, 2, False), pad(allowed, 3, 2, False)
    for garbage in (0.0, 7.0, -1e4, -np.inf, np.nan):
        same, padded = step(pad(scores, 3, 2, garbage), *masks)
        np.testing.assert_allclose(same, plain, rtol=1e-6)
        np.testing.assert_allclose(padded[:12, :5], gradient, atol=2e-6)
        padded = np.nan_to_num(padded) if np.isnan(garbage) else padded
        assert not np.any(padded[12:])
        assert not np.any(padded[:, 5:])


@every_exact_objective
def test_a_batch_on_a_mesh_costs_the_same(objective):
    """Queries on four devices, videos on two: all of them are negatives."""
    case = random_case(num_queries=16, num_videos=8)
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
    sharded = jax.device_put(case, NamedSharding(mesh, P("x", "y")))
    value = jax.jit(functools.partial(loss_of, objective))
    np.testing.assert_allclose(value(*sharded), value(*case), rtol=1e-6)


ONE_VIDEO = np.eye(4, 1) > 0
DEGENERATE = {
    "one_video": (np.ones((4, 1)), np.ones((4, 1), bool), np.zeros((4, 1), bool)),
    "one_query": (np.ones((4, 1)), ONE_VIDEO, np.zeros((4, 1), bool)),
    "one_query_of_four_videos": (np.ones((1, 4)), ONE_VIDEO.T, ~ONE_VIDEO.T),
    "nothing_allowed": (np.ones((4, 4)), np.eye(4) > 0, np.zeros((4, 4), bool)),
    "all_padding": (np.zeros((4, 4)), np.zeros((4, 4), bool), np.zeros((4, 4), bool)),
    "all_equal": (np.zeros((4, 4)), np.eye(4) > 0, np.eye(4) == 0),
}
COSTLY_ALONE = (MultiPositive, SigLIP, InterIntra, Distillation)
"""A true pair without negatives is not free: it has rivals of other kinds, or none."""


@every_objective
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_degenerate_batches_are_finite(objective, dtype):
    step = compiled(objective)
    for name, case in DEGENERATE.items():
        jax.eval_shape(step, *case)  # no shape is too small for a top k
        scores, positives, allowed = (
            pad(x, 4 - len(x), 4 - x.shape[1], 0) for x in case
        )
        loss, gradient = step(jnp.asarray(scores, dtype), positives, allowed)
        assert np.isfinite(loss), name
        assert loss.dtype == jnp.float32
        assert np.all(np.isfinite(np.asarray(gradient, np.float32))), name
        is_free = not isinstance(objective, COSTLY_ALONE) or name == "all_padding"
        if not allowed.any() and is_free:
            assert loss == 0, name
            assert not np.any(gradient), name
