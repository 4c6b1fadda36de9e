"""How raw texts are cleaned before they are tokenised."""

import html
import re

# Soft hyphen, zero-width space, word joiner and byte order mark. The other joiners and
# the marks of direction stay: emoji, Persian and Hebrew need them.
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")


def clean(text: str) -> str:
    """A subtitle, query or caption without markup escapes, odd spaces and shouting.

    The official code treats the three differently (below); here a query finds the
    subtitle that has the same words.
    """
    visible = _INVISIBLE.sub("", html.unescape(text))
    return _quiet(" ".join(visible.split()))


def official_subtitle(text: str) -> str:
    """Unescapes HTML, lower-cases what is all upper case (B.2)."""
    return _quiet(html.unescape(text))


def official_query(text: str) -> str:
    """Lower-cases what is all upper case; also questions, answers and statements.

    Official captions stay as they are.
    """
    return _quiet(text)


def _quiet(text: str) -> str:
    return text.lower() if text.isupper() else text
