"""VALUE's multi-task configurations: which tasks, how often, how long (D.8)."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One of VALUE's multi-task configurations (D.8)."""

    ratios: dict[str, int]
    steps: int
    warmup_steps: int
    learning_rate: float = 1e-4
    head_multiplier: float = 1.0
    accumulation: int = 2
    context: int = 0
    longest_text: int = 60
    hard_start_step: int | None = None


RECIPES: Mapping[str, Recipe] = {
    "all": Recipe(
        {
            "tvr": 5,
            "tvc": 5,
            "tvqa": 5,
            "violin": 3,
            "vlep": 1,
            "how2r": 2,
            "vatex_en_r": 6,
            "yc2r": 2,
            "vatex_en_c": 2,
            "yc2c": 2,
            "how2qa": 1,
        },
        steps=50_000,
        warmup_steps=5_000,
        hard_start_step=20_000,
    ),
    "retrieval": Recipe(
        {"tvr": 2, "how2r": 1, "vatex_en_r": 3, "yc2r": 1},
        steps=10_000,
        warmup_steps=1_000,
        hard_start_step=4_000,
    ),
    "qa": Recipe(
        {"tvqa": 5, "how2qa": 1, "violin": 3, "vlep": 1},
        steps=20_000,
        warmup_steps=2_000,
        learning_rate=5e-5,
        head_multiplier=10.0,
        longest_text=120,
    ),
    "captions": Recipe(
        {"tvc": 2, "vatex_en_c": 2, "yc2c": 1},
        steps=30_000,
        warmup_steps=3_000,
        head_multiplier=10.0,
        accumulation=1,
        context=1,
    ),
    "tv": Recipe(
        {"tvr": 5, "tvc": 5, "tvqa": 5, "violin": 3, "vlep": 1},
        steps=20_000,
        warmup_steps=2_000,
        hard_start_step=8_000,
    ),
    "youtube": Recipe(
        {
            "how2r": 1,
            "vatex_en_r": 2,
            "yc2r": 1,
            "vatex_en_c": 2,
            "yc2c": 2,
            "how2qa": 1,
        },
        steps=10_000,
        warmup_steps=1_000,
        hard_start_step=4_000,
    ),
}
