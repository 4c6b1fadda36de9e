"""Databases can be trained from with the very token ids they hold."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipelines import stored_tokens, tokenizers
from data_pipelines.convert_db import convert_db
from data_pipelines.corpus import open_corpus
from data_pipelines.tokenizers import TokenizerError
from tests.data_pipelines.official_databases import write_texts

GOLDEN = Path(__file__).resolve().parents[1] / "golden/data"


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    out = tmp_path_factory.mktemp("converted")
    assert [*convert_db(GOLDEN / "db", out, datasets=["tvr", "tvqa"])]
    return out


def recorded(name):
    return json.loads((GOLDEN / f"expected/txtdb_{name}.db.json").read_text())


def test_every_text_has_the_ids_of_the_database(converted):
    found = tokenizers.load(stored_tokens.path_of(converted, "tvr"))
    corpus = open_corpus(converted, "tvr", "val")
    spoken, asked = recorded("tv_subtitles"), recorded("tvr_val")
    for video in corpus.videos:
        lines = found.encode([line.text for line in video.subtitles["en"]])
        # A video without subtitles has one empty list in the database.
        wanted = spoken[video.video_id]["input_ids"] if lines else []
        assert [*map(list, lines)] == wanted
    for query in corpus.queries:
        (ids,) = found.encode([query.texts["en"]])
        assert list(ids) == asked[query.query_id]["input_ids"]


def test_the_special_tokens_are_those_of_the_database(converted):
    meta = json.loads((GOLDEN / "db/txt/tv_subtitles.db/meta.json").read_text())
    found = tokenizers.load(stored_tokens.path_of(converted, "tvr"))
    names = ("BOS", "EOS", "PAD", "UNK", "MASK")
    ids = (found.bos, found.eos, found.pad, found.unk, found.mask)
    assert ids == tuple(meta[name] for name in names)
    assert list(found.ordinary) == meta["v_range"]
    assert found.vocab_size > max(*ids, meta["v_range"][1] - 1)


def test_it_is_saved_loaded_and_told_apart(converted, tmp_path):
    path = stored_tokens.path_of(converted, "tvr")
    first = tokenizers.load(path)
    first.save(tmp_path / "again.json")
    again = tokenizers.load(tmp_path / "again.json")
    assert again.fingerprint == first.fingerprint
    text = next(iter(first.texts))
    assert np.array_equal(again.encode([text])[0], first.encode([text])[0])
    other = tokenizers.load(stored_tokens.path_of(converted, "tvqa"))
    assert other.fingerprint != first.fingerprint


def test_blank_texts_have_no_ids_and_unknown_ones_are_refused(converted):
    found = tokenizers.load(stored_tokens.path_of(converted, "tvr"))
    assert [len(ids) for ids in found.encode(["", "  "])] == [0, 0]
    with pytest.raises(TokenizerError, match="'never said'.*name RoBERTa's vocab.json"):
        found.encode(["never said"])
    with pytest.raises(TokenizerError, match="ids do not tell words"):
        found.decode([5])
    with pytest.raises(TypeError, match="a list of texts"):
        found.encode("one")


@pytest.mark.parametrize("content", ['"bos": 0', '"bos": 0, "texts": 3'])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "x.tokens.json"
    path.write_text(f'{{"format": "{stored_tokens.FORMAT}", {content}}}')
    with pytest.raises(TokenizerError, match="x.tokens.json: not whole"):
        tokenizers.load(path)


def test_texts_with_two_lists_of_ids_are_counted(tmp_path):
    shutil.copytree(GOLDEN / "db", tmp_path / "db")
    folder = tmp_path / "db/txt/tvr_val.db"
    records = recorded("tvr_val")
    first, second = list(records)[:2]
    records[second] |= {"desc": records[first]["desc"], "input_ids": [5]}
    sides = {p.stem: json.loads(p.read_text()) for p in folder.glob("*.json")}
    shutil.rmtree(folder)
    write_texts(folder, records, **sides)
    (built,) = convert_db(tmp_path / "db", tmp_path / "out", datasets=["tvr"])
    assert any("1 texts with several lists of ids" in w for w in built.warnings)


def test_a_database_without_special_tokens_has_no_such_file(tmp_path):
    shutil.copytree(GOLDEN / "db", tmp_path / "db")
    for path in (tmp_path / "db/txt").rglob("meta.json"):
        meta = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in meta.items() if k != "MASK"}))
    (built,) = convert_db(tmp_path / "db", tmp_path / "out", datasets=["tvr"])
    assert not stored_tokens.path_of(tmp_path / "out", "tvr").exists()
    assert open_corpus(tmp_path / "out", built.dataset, "val").queries
