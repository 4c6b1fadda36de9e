"""What the frames of a video say to a text they have read: answers, spans, verdicts."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hero_jax.model.layers import MlpHead, Numerics, dense, head_init
from hero_jax.types import Array, Bool, Float


class FrameVerdict(nn.Module):
    """One logit from all frames of a video, each by its learned importance (D.4).

    Officially `qa_pool` with `qa_pred_head`, and `violin_pool` with `violin_pred_head`.
    """

    width: int
    numerics: Numerics

    def setup(self) -> None:
        self.pool = importance(self.width, self.numerics)
        self.score = mlp(self.width, 1, self.numerics)

    def __call__(
        self, frames: Float[Array, "*N F D"], frame_mask: Bool[Array, "*N F"]
    ) -> Float[Array, "*N"]:
        weights = jax.nn.softmax(_pool_scores(self, frames, frame_mask))
        pooled = jnp.einsum("...f,...fd->...d", weights.astype(frames.dtype), frames)
        return self.score(pooled)[..., 0].astype(self.numerics.wide)


class AnswerHead(nn.Module):
    """Which candidate answers a question, and where in the video that is seen (D.4)."""

    width: int
    numerics: Numerics

    def setup(self) -> None:
        self.verdict = FrameVerdict(self.width, self.numerics)
        # Officially drawn once for both: `st_ed_pool` begins as `qa_pool` (A.8).
        self.pool = importance(
            self.width, self.numerics, lambda *_: _kernel_of(self.verdict.pool)
        )
        self.boundaries = mlp(self.width, 2, self.numerics)

    def __call__(
        self, frames: Float[Array, "Q N F D"], frame_mask: Bool[Array, "Q N F"]
    ) -> tuple[Float[Array, "Q N"], Float[Array, "Q F"], Float[Array, "Q F"]]:
        """Logits of the candidates, and of the first and the last frame of the moment.

        A frame is judged as the candidates together see it: a softmax over them.
        """
        logits = self.verdict(frames, frame_mask)
        shares = jax.nn.softmax(_pool_scores(self, frames, frame_mask), axis=1)
        seen = jnp.einsum("qnf,qnfd->qfd", shares.astype(frames.dtype), frames)
        ends = self.boundaries(seen).astype(self.numerics.wide)
        own = frame_mask[:, 0]
        start, end = (_masked(ends[..., i], own, self.numerics) for i in (0, 1))
        return logits, start, end


def importance(
    width: int, numerics: Numerics, start: nn.initializers.Initializer | None = None
) -> nn.Dense:
    """How much each vector counts, by one learned direction."""
    init = head_init(width)
    init = init if start is None else init._replace(kernel=start)
    return dense(1, numerics, init, use_bias=False)


def mlp(width: int, num_outputs: int, numerics: Numerics) -> MlpHead:
    """Begins as PyTorch's linear layers do, unlike the towers (A.11)."""
    starts = (head_init(width), head_init(2 * width))
    return MlpHead(num_outputs, numerics, starts)


def _pool_scores(
    module: FrameVerdict | AnswerHead,
    frames: Float[Array, "*N F D"],
    frame_mask: Bool[Array, "*N F"],
) -> Float[Array, "*N F"]:
    scores = module.pool(frames)[..., 0].astype(module.numerics.wide)
    return _masked(scores, frame_mask, module.numerics)


def _masked(
    scores: Float[Array, "*N F"], frame_mask: Bool[Array, "*N F"], numerics: Numerics
) -> Float[Array, "*N F"]:
    return jnp.where(frame_mask, scores, -1e4 if numerics.official else -1e9)


def _kernel_of(layer: nn.Dense) -> Float[Array, "D 1"]:
    return layer.variables["params"]["kernel"]
