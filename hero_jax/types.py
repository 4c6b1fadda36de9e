"""The alphabet of array shapes.

Every annotation in this package spells its axes with these letters, and every
einsum uses the same ones:

    B  videos in the batch            D  model width
    F  frames per video               E  width of a raw frame feature
    R  rows of packed segments        I  width inside an MLP
    L  slots in a row                 H  attention heads
    Q  queries in the batch           V  vocabulary
    M  masked slots in the batch      K  candidates kept by a search
    T  tokens of one text             N  anything else that is counted
"""

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Key, PyTree

# Batches are numpy until they are put on devices, and JAX arrays from then on.
Array = jax.Array | np.ndarray
Scalar = Float[Array, ""]
Metrics = dict[str, Scalar]

__all__ = ["Array", "Bool", "Float", "Int", "Key", "Metrics", "PyTree", "Scalar"]
