"""Files of weights that are not what their names say."""

import json
import struct

import numpy as np
import pytest
import safetensors.numpy

from hero_jax import weight_files
from hero_jax.torch_pickle import TorchFileError


def write(path, dtype):
    """One number of a type, as the format says."""
    entry = {"x": {"dtype": dtype, "shape": [1], "data_offsets": [0, 1]}}
    head = json.dumps(entry).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"\0")
    return path


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_numbers_of_a_type_that_numpy_lacks_are_refused_in_words(tmp_path, dtype):
    with pytest.raises(TorchFileError, match="of a type that NumPy lacks"):
        weight_files.read(write(tmp_path / "x.safetensors", dtype))


def test_known_types_are_read(tmp_path):
    assert weight_files.read(write(tmp_path / "x.safetensors", "U8")) == {
        "x": np.zeros(1, np.uint8)
    }
    values = {"y": np.arange(3, dtype=np.float32)}
    safetensors.numpy.save_file(values, tmp_path / "y.safetensors")
    np.testing.assert_array_equal(
        weight_files.read(tmp_path / "y.safetensors")["y"], values["y"]
    )
