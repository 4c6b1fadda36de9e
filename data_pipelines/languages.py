"""The languages that datasets come in; the one place that knows any by name.

Records carry the codes (BCP 47). A dataset in a new language is one entry here.
"""

import dataclasses

from data_pipelines.readers.errors import InputError, found


@dataclasses.dataclass(frozen=True)
class Language:
    """What reports and builders need to know about a language."""

    code: str
    name: str
    """In English, for tables."""
    translated_from: str | None = None
    """The code its texts were machine-translated from; such texts only train."""


LANGUAGES = {
    language.code: language
    for language in (
        Language("en", "English"),
        Language("ja", "Japanese"),
        Language("ko", "Korean"),
        Language("zh", "Chinese"),
        Language("zh-x-google", "Chinese (Google)", translated_from="en"),
    )
}


def language(code: str) -> Language:
    """The entry of a code; InputError names the codes there are."""
    if code not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise InputError(
            f"language {found(code)} is unknown: expected one of {known}, "
            "or a new entry in data_pipelines/languages.py"
        )
    return LANGUAGES[code]
