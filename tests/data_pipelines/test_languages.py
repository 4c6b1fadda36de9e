import pytest

from data_pipelines.languages import LANGUAGES, language


def test_a_code_finds_its_language():
    assert language("zh").name == "Chinese"


def test_machine_translations_name_what_they_were_made_from():
    translated = {c: one.translated_from for c, one in LANGUAGES.items()}
    assert translated["zh-x-google"] == "en"
    assert translated["zh"] is None
    assert all(one in LANGUAGES for one in translated.values() if one)


def test_an_unknown_code_is_refused_with_the_codes_there_are():
    with pytest.raises(ValueError, match="'xx' is unknown: expected one of en, ja"):
        language("xx")
