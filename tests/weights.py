"""Parameters for tests that need some, without compiling an initialiser."""

import jax
import numpy as np

from hero_jax import pretrained
from hero_jax.model.hero import HeroConfig
from hero_jax.paths import path_name


def random_hero(
    config: HeroConfig, parts: tuple[str, ...] = pretrained.RETRIEVAL, *, seed: int = 0
):
    """Noise of the size that layers begin with; gains near one."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = 0.1 * rng.standard_normal(leaf.shape)
        is_gain = path_name(path).endswith("/scale")
        return (noise + is_gain).astype(np.float32)

    shapes = pretrained.hero_shapes(config, parts)
    return jax.tree_util.tree_map_with_path(draw, shapes)
