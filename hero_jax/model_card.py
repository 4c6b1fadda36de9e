"""The README of an exported model: what it is, what it learned, how to use it."""

from collections.abc import Mapping

import numpy as np

from hero_jax.tasks.base import Task
from hero_jax.train import TrainConfig

CARD = """# A HERO trained with hero_jax

HERO ([arXiv 2005.00200](https://arxiv.org/abs/2005.00200)) reads a video frame by frame
together with its subtitles, and finds the video, and the moment in it, that a query is
about.

| | |
|---|---|
| parameters | {num_parameters:,} |
| width, layers (cross-modal, temporal) | {width}, {layers} |
| words, width of a frame feature | {words}, {features} |
| trained for | {steps:,} steps, seed {seed} |

## Tasks

{tasks}

## Use

{use}

## Files

| file | holds |
|---|---|
| `config.json` | the whole configuration of the run |
| `model.safetensors` | the parameters, float32 |
| `tokenizers/` | what makes token ids of texts |
| `corpora/` | the videos of a split as the model reads them, ready to be searched |
| `manifest.json` | the SHA-256 of every file; `hero_jax.load` checks them |

## Limits

Answers are only as good as the data above are like those that are searched. Frame
features must come from the extractor that the training data came from. Nothing here
was trained to recognise persons, and scores are no probabilities.
"""

SEARCH = """```python
import hero_jax

hero_jax.load("this folder").search("who takes the red cup", k=5, split="{split}")
```"""

NO_SEARCH = "No task of this run searches; its parameters begin another run."


def model_card(
    config: TrainConfig,
    leaves: Mapping[str, np.ndarray],
    *,
    step: int,
    split: str | None,
) -> str:
    """The card; `split` names the videos that can be searched, if any can."""
    model = config.model
    return CARD.format(
        num_parameters=sum(leaf.size for leaf in leaves.values()),
        width=model.width,
        layers=f"{model.cross_modal.num_layers}, {model.temporal.num_layers}",
        words=model.vocab_size - model.unused_words,
        features=model.feature_width,
        steps=step,
        seed=config.seed,
        tasks="\n".join(map(_about, config.tasks, config.tasks.values())) or "none",
        use=SEARCH.format(split=split) if split else NO_SEARCH,
    )


def _about(name: str, task: Task) -> str:
    kind = type(task).__name__
    about = (type(task).__doc__ or "").strip().splitlines()[0]
    return f"- `{name}`: {kind}. {about}"
