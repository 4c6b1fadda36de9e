"""One encoder and a head for every task of a run."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.types import PyTree

Head = nn.Module
"""What a task adds to the encoder, and is called with it."""


class TaskModel(nn.Module):
    """HERO and one head per task; a head is called with the shared encoder."""

    config: HeroConfig
    heads: Mapping[str, Head]

    def setup(self) -> None:
        self.hero = Hero(self.config)

    def __call__(self, task: str, batch: PyTree, *, train: bool = False) -> Any:
        return self.heads[task](self.hero, batch, train=train)

    def run_every_head(self, batches: Mapping[str, PyTree]) -> dict[str, Any]:
        """Visits every parameter once; used only to initialise them."""
        return {name: self(name, batch) for name, batch in batches.items()}
