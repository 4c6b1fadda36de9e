"""Quiet where Orbax gives up on a damaged checkpoint while other reads are under way.

Orbax closes its event loop at the first failure; TensorStore still answers the other
reads, and each answer to a closed loop would be a traceback beside our one line.
"""

import asyncio
import contextlib
from collections.abc import Iterator


class _Loop(asyncio.SelectorEventLoop):
    """Forgets what is called after the end."""

    def call_soon_threadsafe(self, callback, *args, context=None):
        if not self.is_closed():
            return super().call_soon_threadsafe(callback, *args, context=context)


class _Policy(asyncio.DefaultEventLoopPolicy):
    """Makes such loops."""

    _loop_factory = _Loop


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Loops that begin in this context forget late answers, also after it."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(_Policy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)
