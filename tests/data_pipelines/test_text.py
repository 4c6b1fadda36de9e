from data_pipelines import text


def test_clean_text_has_no_escapes_odd_spaces_or_shouting():
    assert text.clean("  YOU &amp;\u3000ME\n") == "you & me"
    assert text.clean("\ufeffAnn\u200b said") == "Ann said"
    assert text.clean("你好 World") == "你好 World"


def test_official_subtitles_are_unescaped_and_queries_are_not():
    assert text.official_subtitle("YOU &AMP; ME ") == "you & me "
    assert text.official_query("Tom &amp; Ann") == "Tom &amp; Ann"
    assert text.official_query("TOM &AMP; ANN") == "tom &amp; ann"


def test_marks_that_carry_meaning_stay():
    for kept in ("👨\u200d👩", "می\u200cخواهم", "\u200fשלום"):
        assert text.clean(kept) == kept
