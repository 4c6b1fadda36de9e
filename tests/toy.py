"""The smallest task and run that exercise every part of the trainer.

Guess each number of a row from the others, through HERO's word head with dropout: a few
thousand parameters that compile in a second.
"""

import dataclasses

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np

from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.optimizer import OptimizerConfig
from hero_jax.tasks.base import Task
from hero_jax.train import TrainConfig
from hero_jax.types import Array, Float


@flax.struct.dataclass
class ToyBatch:
    given: Float[Array, "B D"]
    wanted: Float[Array, "B"]


class ToyHead(nn.Module):
    @nn.compact
    def __call__(self, hero: Hero, batch: ToyBatch, *, train: bool = False):
        words = hero.word_logits(nn.Dense(hero.config.width)(batch.given))
        words = nn.Dropout(0.2, deterministic=not train)(words)
        return nn.Dense(1)(words)[:, 0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy(Task):
    batch_size: int = 8
    num_examples: int = 40
    poison_from: int = -1
    """Batches of this number and later have no finite loss; -1 for none."""

    def examples(self, split):
        return range(self.num_examples)

    def expected_cost(self, example):
        return 1.0

    def prepare(self, example, rng, share):
        return np.random.default_rng(example).standard_normal(5) + rng.normal() / 10

    def cost(self, prepared):
        return 1

    def collate(self, groups, capacity, *, split, local, rng):
        rows = np.array([row for group in groups for row in group], np.float32)
        return ToyBatch(rows[:, :4], rows[:, 4]), {}

    def head(self):
        return ToyHead()

    def loss(self, predictions, batch, *, step, key):
        loss = jnp.square(predictions - batch.wanted).mean()
        is_poisoned = (self.poison_from >= 0) & (step >= self.poison_from)
        return jnp.where(is_poisoned, jnp.nan, loss), {"rows": predictions.size * 1.0}

    def fingerprint(self, split):
        return {"num_examples": self.num_examples}

    def evaluate(self, model, params, split, *, predictions_dir=None):
        return {"bias": {"word": float(params["hero"]["word_head"]["bias"].mean())}}


def hero_config() -> HeroConfig:
    tower = TransformerConfig(width=12, num_heads=2, num_layers=1)
    return HeroConfig(
        vocab_size=40, feature_width=6, cross_modal=tower, temporal=tower, query_heads=2
    )


def config(**changes) -> TrainConfig:
    """Two toy tasks in a ratio of 1 to 2."""
    base = TrainConfig(
        tasks={"first": Toy(), "second": Toy(num_examples=24, weight=2)},
        model=hero_config(),
        steps=12,
        seed=5,
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=3),
        log_every=1,
        save_every=4,
    )
    return dataclasses.replace(base, **changes)
