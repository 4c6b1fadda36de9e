"""Every test runs on eight pretend devices, with every array shape checked."""

import os
import tempfile
from importlib import metadata
from pathlib import Path

import pytest

JAX = tuple(map(int, metadata.version("jax").split(".")[:2]))
# Unoptimised code compiles faster, and tests compile far more than they run.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_parallel_codegen_split_count=1",
        # Quicker to compile without; XLA ends a process that names a flag it has not.
        "--xla_cpu_use_fusion_emitters=false" if JAX < (0, 11) else "",
    ]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# What one test compiles, another one loads; so do the processes that tests start, and
# the workers among which the tests are divided.
if "PYTEST_XDIST_WORKER" not in os.environ:
    CACHE = tempfile.TemporaryDirectory(prefix="hero_jax_compiled_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import jaxtyping  # noqa: E402

# The annotations in these packages are enforced while testing, and are free otherwise.
jaxtyping.install_import_hook(
    ["hero_jax.losses", "hero_jax.model", "hero_jax.retrieval", "hero_jax.tasks"],
    "beartype.beartype",
)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared data and golden files, where a checkout has them beside it."""
    checkout = Path(__file__).resolve().parents[1]
    path = Path(os.environ.get("HERO_SHARED", checkout.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no shared data at {path}; set HERO_SHARED")
    return path
