"""RoBERTa, XLM-R or multilingual BERT as the start of the cross-modal tower (A.12).

Their weights become entries of the official state dict: words, positions, one token
type for both rows, every other layer (1, 3, 5, 7, 9 and 11 of twelve), the word head.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hero_jax import weight_files
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.pretrained import LAYER as OFFICIAL_LAYER
from hero_jax.pretrained import TIED, WORDS, WeightsError, num_layers

State = Mapping[str, np.ndarray]

ENCODER = "v_encoder.f_encoder."
TABLE = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"
LAYER = re.compile(r"encoder\.layer\.(\d{1,4})\.(.+)")
NORM = "embeddings.LayerNorm"
EMBEDDINGS = re.compile(rf"{POSITIONS}|{TYPES}|embeddings\.LayerNorm\.(weight|bias)")
FAMILIES = ("roberta.", "bert.", "")
"""What names begin with: RoBERTa and XLM-R, BERT, and either without a head."""

# Word heads, under the names of the official code: its own, RoBERTa's and BERT's.
HEADS = {
    "lm_head.dense.": "lm_head.dense.",
    "lm_head.LayerNorm.": "lm_head.LayerNorm.",
    "lm_head.layer_norm.": "lm_head.LayerNorm.",
    "lm_head.bias": "lm_head.bias",
    "cls.predictions.transform.dense.": "lm_head.dense.",
    "cls.predictions.transform.LayerNorm.": "lm_head.LayerNorm.",
    "cls.predictions.bias": "lm_head.bias",
}
INNER = "intermediate.dense"
HEAD_WIDTH = 64
"""Of an attention head in all three, at every size."""
MULTIPLE = 8
"""The word table is padded to a multiple of this (A.12)."""


@dataclasses.dataclass(frozen=True, eq=False)
class TextEncoder:
    """The weights of a masked language model under names without a family's prefix."""

    file: Path
    state: State
    head: State
    """The word head under official names; empty where the file has none."""

    @property
    def num_words(self) -> int:
        return len(self.state[TABLE])

    @property
    def num_layers(self) -> int:
        numbers = {int(m[1]) for name in self.state if (m := LAYER.fullmatch(name))}
        return num_layers(numbers)


def read(path: Path) -> TextEncoder:
    """The masked language model in a file; WeightsError if there is none."""
    state = {
        _modern(name): value
        for name, value in weight_files.read(path).items()
        if isinstance(value, np.ndarray)
    }
    family = next((f for f in FAMILIES if f + TABLE in state), None)
    if family is None:
        raise WeightsError(
            f"{path}: found no {TABLE}, under no prefix of "
            f"{', '.join(f for f in FAMILIES if f)}: expected RoBERTa, XLM-R or BERT"
        )
    inner = {
        name.removeprefix(family): value
        for name, value in state.items()
        if name.startswith(family)
    }
    encoder = TextEncoder(path, inner, _head(state | inner))
    _check(encoder)
    return encoder


def _check(encoder: TextEncoder) -> None:
    """All tables, and all entries of all layers, in shapes that go together."""
    state, head = encoder.state, encoder.head
    expected = _shapes(encoder)
    missing = [name for name in expected if name not in state]
    if missing:
        raise WeightsError(
            f"{encoder.file}: missing: {', '.join(missing)}; get the file again from "
            "its source"
        )
    whole = {name: state[name] for name in expected} | dict(head)
    for name, value in whole.items():
        wanted = (expected | _head_shapes(encoder)).get(name, np.shape(value))
        fits = len(wanted) == np.ndim(value) and all(
            size in (None, found) for size, found in zip(wanted, value.shape)
        )
        if not fits or not np.isfinite(value.astype(np.float32)).all():
            shape = ", ".join("any" if size is None else str(size) for size in wanted)
            how = "values that are not finite" if fits else list(np.shape(value))
            raise WeightsError(
                f"{encoder.file}: {name}: found {how}, expected the shape [{shape}] "
                "and finite numbers; get the file again from its source"
            )


def _shapes(encoder: TextEncoder) -> dict[str, tuple[int | None, ...]]:
    """Entry -> its shape; None is any number of rows."""
    table = encoder.state[TABLE]
    width = table.shape[-1] if table.ndim else 0
    inner = np.shape(encoder.state.get(f"encoder.layer.0.{INNER}.weight", [[0]]))[0]
    tables = (TABLE, POSITIONS, TYPES)
    shapes: dict[str, tuple[int | None, ...]] = dict.fromkeys(tables, (None, width))
    shapes |= {f"{NORM}.{kind}": (width,) for kind in ("weight", "bias")}
    for layer in range(encoder.num_layers):
        for name in OFFICIAL_LAYER.values():
            rows = inner if name == INNER else width
            columns = inner if name == "output.dense" else width
            entry = f"encoder.layer.{layer}.{name}"
            is_norm = name.endswith("LayerNorm")
            shapes[f"{entry}.weight"] = (rows,) if is_norm else (rows, columns)
            shapes[f"{entry}.bias"] = (rows,)
    return shapes


def _head_shapes(encoder: TextEncoder) -> dict[str, tuple[int | None, ...]]:
    width = encoder.state[TABLE].shape[-1]
    vectors = ("dense.bias", "LayerNorm.weight", "LayerNorm.bias")
    return {
        **{f"lm_head.{name}": (width,) for name in vectors},
        "lm_head.dense.weight": (width, width),
        "lm_head.bias": (encoder.num_words,),
    }


def is_language_model(path: Path) -> bool:
    """Whether a file that exists is neither a run nor released weights of HERO."""
    if not path.is_file():
        return False
    return not any(name.startswith("v_encoder.") for name in weight_files.read(path))


def config_like(path: Path, config: HeroConfig) -> HeroConfig:
    """`config` with the vocabulary, positions and widths of the weights in `path`.

    The number of layers stays; words are padded to a multiple of 8.
    """
    encoder = read(path)
    width = encoder.state[TABLE].shape[1]
    tower = TransformerConfig(
        width=width,
        num_heads=max(1, width // HEAD_WIDTH),
        num_layers=config.cross_modal.num_layers,
        mlp_width=len(encoder.state["encoder.layer.0.intermediate.dense.weight"]),
        dropout=config.cross_modal.dropout,
    )
    rows = -(-encoder.num_words // MULTIPLE) * MULTIPLE
    return dataclasses.replace(
        config,
        vocab_size=rows,
        unused_words=rows - encoder.num_words,
        max_positions=len(encoder.state[POSITIONS]),
        cross_modal=tower,
        temporal=dataclasses.replace(tower, num_layers=config.temporal.num_layers),
        query_heads=tower.num_heads,
    )


def as_official(
    encoder: TextEncoder,
    config: HeroConfig,
    *,
    skips_layers: bool = True,
    is_official: bool = False,
) -> dict[str, np.ndarray]:
    """Entries of the official state dict that the weights determine, float32.

    `is_official` leaves the word head out unless its names are the official ones.
    """
    words = _words(encoder, config)
    entries = {TABLE: words} | {
        name: value
        for name, value in encoder.state.items()
        if EMBEDDINGS.fullmatch(name)
    }
    entries[TYPES] = np.repeat(encoder.state[TYPES][:1], 2, axis=0)
    entries[POSITIONS] = _positions(encoder, config)
    chosen = _layers(encoder, config.cross_modal.num_layers, skips_layers)
    for name, value in encoder.state.items():
        if (match := LAYER.fullmatch(name)) and int(match[1]) in chosen:
            target = chosen.index(int(match[1]))
            entries[f"encoder.layer.{target}.{match[2]}"] = value
    if not is_official or any(name.startswith("lm_head.") for name in encoder.state):
        entries |= encoder.head
    if "lm_head.bias" in entries:
        entries["lm_head.bias"] = _padded(entries["lm_head.bias"], config.vocab_size)
    named = {f"{ENCODER}{n}": np.asarray(v, np.float32) for n, v in entries.items()}
    return named | {TIED: named[WORDS]}


def check_vocabulary(encoder: TextEncoder, num_words: int) -> None:
    """Refuses a tokenizer of another size than the word table, in one line."""
    if encoder.num_words != num_words:
        raise WeightsError(
            f"{encoder.file}: has {encoder.num_words} words, the tokenizer "
            f"{num_words}; use the tokenizer that was published with these weights"
        )


def _modern(name: str) -> str:
    """Weights of 2018 call the gain and bias of a norm gamma and beta."""
    name = re.sub(r"(?<=\.)gamma$", "weight", name)
    return re.sub(r"(?<=\.)beta$", "bias", name)


def _head(state: State) -> dict[str, np.ndarray]:
    found = {}
    for name, value in state.items():
        for start, official in HEADS.items():
            if name.startswith(start):
                found[official + name.removeprefix(start)] = value
    return found


def _words(encoder: TextEncoder, config: HeroConfig) -> np.ndarray:
    """The word table, padded with zeros; the vocabularies must be the same."""
    rows, wanted = encoder.num_words, config.vocab_size
    is_padding = rows <= wanted < rows + MULTIPLE
    if not is_padding and not wanted - config.unused_words <= rows <= wanted:
        raise WeightsError(
            f"{encoder.file}: has {rows} words, but the model has {wanted}, of which "
            f"{config.unused_words} unused; use the tokenizer of these weights and "
            f"vocab_size {-(-rows // MULTIPLE) * MULTIPLE}"
        )
    return _padded(encoder.state[TABLE], wanted)


def _padded(array: np.ndarray, rows: int) -> np.ndarray:
    filler = np.zeros((rows - len(array), *array.shape[1:]), array.dtype)
    return np.concatenate([array, filler])


def _positions(encoder: TextEncoder, config: HeroConfig) -> np.ndarray:
    table = encoder.state[POSITIONS]
    if len(table) < config.max_positions:
        raise WeightsError(
            f"{encoder.file}: has {len(table)} positions, but the model has "
            f"max_positions {config.max_positions}; choose at most {len(table)}"
        )
    return table[: config.max_positions]


def _layers(encoder: TextEncoder, wanted: int, skips_layers: bool) -> list[int]:
    """Source layers, in order: of 12 for 6 the numbers 1, 3, 5, 7, 9, 11."""
    found = encoder.num_layers
    if found < wanted:
        raise WeightsError(
            f"{encoder.file}: has {found} layers, but cross_modal.num_layers is "
            f"{wanted}; choose at most {found}"
        )
    gap = found // wanted if skips_layers and wanted else 1
    return [gap * (layer + 1) - 1 for layer in range(wanted)]
