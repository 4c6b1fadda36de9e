"""HERO in JAX/Flax: a hierarchical encoder of video and subtitles, in any language."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hero_jax.search import load as load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`hero_jax.load`, imported when it is first asked for: importing stays quick."""
    if name == "load":
        from hero_jax.search import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
