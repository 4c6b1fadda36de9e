"""Three steps of training and one evaluation of a single task, as CI runs them."""

import json

from hero_jax import checkpoint
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.optimizer import OptimizerConfig
from hero_jax.train import TrainConfig, train


def tiny_model(source) -> HeroConfig:
    tower = TransformerConfig(width=8, num_heads=2, num_layers=1, mlp_width=12)
    return HeroConfig(
        vocab_size=304, feature_width=source.feature_width, cross_modal=tower,
        temporal=tower, query_heads=2, dropout=0.0,
    )  # fmt: skip


def train_and_evaluate(task, source, folder):
    """The loss of every step, and the results on the test split; files in `folder`."""
    config = TrainConfig(
        tasks={"task": task},
        model=tiny_model(source),
        steps=3,
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=1),
        log_every=1,
        save_every=3,
    )
    state = train(config, folder / "run")
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["task/loss"] for line in lines]
    assert len(losses) == int(state.step) == 3
    _, params = checkpoint.load_params(folder / "run")
    results = task.evaluate(config.model, params, "test", predictions_dir=folder)
    return losses, results
