"""Files of weights of any kind as arrays by name: .pt and .bin, or .safetensors."""

import hashlib
from pathlib import Path
from typing import Any

import safetensors.numpy
from safetensors import SafetensorError

from hero_jax import torch_file
from hero_jax.torch_pickle import TorchFileError


def read(path: Path) -> dict[str, Any]:
    """Every entry by name; files of PyTorch may hold flags among the arrays.

    Raises TorchFileError, in one line, where the file is damaged or of another kind.
    """
    if path.is_dir():
        raise TorchFileError(f"{path}: found a folder, expected a file of weights")
    if path.suffix != ".safetensors":
        return torch_file.read_state(path)
    try:
        return safetensors.numpy.load_file(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise TorchFileError(f"{path}: cannot be read ({reason})") from None
    except AttributeError as error:  # the reader looks NumPy's types up by name
        raise TorchFileError(
            f"{path}: holds numbers of a type that NumPy lacks ({error}); save them as "
            "float32, float16 or bfloat16"
        ) from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise TorchFileError(
            f"{path}: not a whole .safetensors file ({error}); get it again from its "
            f"source"
        ) from None


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
