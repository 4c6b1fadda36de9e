"""Translate-train: machine translations to learn from, human texts to be judged by."""

import json

import pytest

from data_pipelines.build import build_dataset
from data_pipelines.builders.mtvr_loo import MtvrLooTranslatedBare
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError
from tests.data_pipelines import miniature

NAMES = ("mtvr_loo", "mtvr_loo_translated", "mtvr_loo_translated_bare")
BARE = MtvrLooTranslatedBare.shown


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """With translations that leave a name as it is."""
    folder = miniature.write_mtvr(tmp_path_factory.mktemp("raw") / "raw")
    for file in folder.glob("tvr_zh_en_*_release.jsonl"):
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        for row in rows:
            row["descs"]["google_zh"] = f"Ross\u628a{row['descs']['zh']}\u7ed9 Mr. Bing"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder


@pytest.fixture(scope="module")
def corpora(release, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    built = {n: build_dataset(n, data_dir=release, out=out).dataset for n in NAMES}
    splits = ("train", "val", "test")
    return {n: {s: open_corpus(out, built[n], s) for s in splits} for n in NAMES}


def texts(corpus, language):
    lines = [s.text for v in corpus.videos for s in v.subtitles[language]]
    return lines + [query.texts[language] for query in corpus.queries]


def test_training_reads_machine_translations_alone(corpora):
    human = texts(corpora["mtvr_loo"]["train"], "zh")
    machine = texts(corpora["mtvr_loo_translated"]["train"], "zh")
    bare = texts(corpora["mtvr_loo_translated_bare"]["train"], "zh")
    assert machine == [f"Ross\u628a{text}\u7ed9 Mr. Bing" for text in human]
    assert not any("Ross" in text or "Bing" in text for text in bare)
    assert all(text in found for text, found in zip(human, bare))
    parallel = corpora["mtvr_loo_translated"]["train"].parallel
    assert parallel and all(pair["zh"].startswith("Ross") for pair in parallel)
    english = [texts(corpora[name]["train"], "en") for name in NAMES]
    assert english[0] == english[1] == english[2]


@pytest.mark.parametrize("split", ["val", "test"])
def test_what_is_judged_is_human(corpora, split):
    for name in NAMES[1:]:
        for language in ("en", "zh"):
            human = texts(corpora["mtvr_loo"][split], language)
            assert texts(corpora[name][split], language) == human


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Phoebe\u628a\u9a6c\u5c3e\u8fab", "\u628a\u9a6c\u5c3e\u8fab"),
        ("\u7ed9 O'Neil 3 \u4e2a", "\u7ed93 \u4e2a"),
        ("\u5728 Mr. Bing \u5bb6", "\u5728\u5bb6"),
        ("CSI", "CSI"),
    ],
)
def test_latin_words_go_and_digits_stay(text, bare):
    assert BARE("zh", text) == bare
    assert BARE("en", text) == text


def test_a_query_without_its_translation_is_named(release, tmp_path):
    for file in release.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    file = tmp_path / "tvr_zh_en_val_release.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    del rows[3]["descs"]["google_zh"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with pytest.raises(InputError, match=f"{rows[3]['desc_id']} has no zh-x-google"):
        build_dataset("mtvr_loo_translated", data_dir=tmp_path, out=tmp_path / "out")
