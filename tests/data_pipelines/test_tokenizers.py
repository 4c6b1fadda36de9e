import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tokenizers as library
from tokenizers.implementations import BertWordPieceTokenizer, ByteLevelBPETokenizer

from data_pipelines import tokenizers
from data_pipelines.tokenizers import TokenizerError

TEXTS = [
    "Ann puts the red cup on the table.",
    "Ben takes the blue box from the table, doesn't he?",
    "Where is Ann's cup? It was on the chair!",
    "安把红色的杯子放在桌子上。",
    "本从桌子上拿走蓝色的盒子。",
    "Ann在桌子上放红色的杯子，Ben看见了。",
    "안은 빨간 컵을 탁자 위에 놓는다.",
    "ペニーは赤いカップをテーブルに置く。",
] * 5
AWKWARD = [
    "",
    " \t\n",
    "  Ann   puts  \t the cup ",
    "☃ Ångström naïve ﬁne ＡＢＣ １２",
    "the \u00a0 cup\u3000on",
    "don't DON'T 'tis it's",
    "12345 3.14 a1b2",
    "杯子Ann杯子 cup杯子",
    "👩‍👧 e\u0301",
    "table table\rtable",
]


def ids(tokenizer, texts):
    return [one.tolist() for one in tokenizer.encode(texts)]


# --- the trained one ----------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    return tokenizers.train(TEXTS, vocab_size=200)


def test_special_ids_are_those_of_roberta_with_the_mask_last(trained):
    special = (trained.bos, trained.pad, trained.eos, trained.unk, trained.mask)
    assert special == (0, 1, 2, 3, trained.vocab_size - 1)
    assert trained.ordinary == (4, trained.vocab_size - 1)
    assert trained.vocab_size <= 200


def test_encoding_gives_int32_arrays_without_special_tokens(trained):
    for one in trained.encode(TEXTS):
        assert one.dtype == np.int32
        assert (one >= 4).all() and (one < trained.mask).all()


def test_every_known_text_decodes_to_itself_in_lower_case(trained):
    for text in TEXTS:
        spaceless = text.lower().replace(" ", "").replace("，", ",")
        assert trained.decode(trained.encode([text])[0]).replace(" ", "") == spaceless
    text = "ann puts the red cup on the table."
    assert trained.decode([0, *trained.encode([text])[0], 2, 1]) == text


def test_a_name_has_one_token_in_every_neighbourhood(trained):
    (name,) = ids(trained, ["Ann"])[0]
    for text in ("the Ann the", "Ann，", "杯子Ann杯子", "(Ann)", "杯子 Ann 杯子"):
        assert ids(trained, [text])[0].count(name) == 1


def test_spaces_between_unspaced_letters_do_not_matter(trained):
    assert ids(trained, ["红色 的 杯子"]) == ids(trained, ["红色的杯子"])


def test_blank_text_has_no_tokens(trained):
    assert ids(trained, ["", " \n", "\u3000"]) == [[], [], []]


def test_reserved_names_in_a_text_are_plain_text(trained):
    assert not {trained.bos, trained.pad, trained.eos, trained.mask} & set(
        ids(trained, ["<s> </s><pad> <mask>"])[0]
    )


def test_unknown_letters_become_the_unknown_token(trained):
    assert trained.unk in ids(trained, ["☃"])[0]


def test_half_a_surrogate_pair_is_no_error(trained):
    assert len(ids(trained, ["cup \ud800"])[0]) > 0


def test_a_single_text_is_refused(trained):
    with pytest.raises(TypeError, match="list of texts"):
        trained.encode("cup")


def test_a_batch_gives_what_its_texts_give_alone(trained):
    assert ids(trained, AWKWARD) == [ids(trained, [text])[0] for text in AWKWARD]


def test_there_is_nothing_to_learn_from_blank_texts():
    with pytest.raises(TokenizerError, match="no letters"):
        tokenizers.train([" ", ""], vocab_size=100)


def test_training_gives_the_same_bytes_in_every_process(trained):
    program = (
        "import sys, json; from data_pipelines import tokenizers;"
        "texts = json.loads(sys.stdin.read());"
        "print(tokenizers.train(texts, vocab_size=60).fingerprint)"
    )
    here = tokenizers.train(TEXTS, vocab_size=60).fingerprint
    for threads in ("1", "4"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(TEXTS),
            env={"RAYON_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path)},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.strip() == here
    assert here != trained.fingerprint


@pytest.mark.parametrize("name", ["tok.json", "folder", "a/b/tok.json"])
def test_saving_and_loading_changes_nothing(trained, tmp_path, name):
    trained.save(tmp_path / name)
    again = tokenizers.load(tmp_path / name)
    assert again.fingerprint == trained.fingerprint
    assert again.ordinary == trained.ordinary
    assert ids(again, TEXTS + AWKWARD) == ids(trained, TEXTS + AWKWARD)


def test_it_survives_pickling(trained):
    again = pickle.loads(pickle.dumps(trained))
    assert again.fingerprint == trained.fingerprint
    assert ids(again, TEXTS) == ids(trained, TEXTS)


# --- WordPiece ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wordpiece")
    trainer = BertWordPieceTokenizer(strip_accents=False, lowercase=False)
    trainer.train_from_iterator(TEXTS, vocab_size=150, show_progress=False)
    trainer.save_model(str(folder))
    return folder / "vocab.txt"


def test_wordpiece_gives_the_ids_of_the_library(wordpiece):
    expected = BertWordPieceTokenizer(
        str(wordpiece), strip_accents=False, lowercase=False
    )
    loaded = tokenizers.load(wordpiece)
    for text in TEXTS + AWKWARD:
        wanted = expected.encode(text, add_special_tokens=False).ids
        assert ids(loaded, [text]) == [wanted]
    assert loaded.vocab_size == expected.get_vocab_size()
    assert loaded.bos == expected.token_to_id("[CLS]")
    assert loaded.decode(loaded.encode(["Ann puts the cup"])[0]) == "Ann puts the cup"


def test_windows_line_ends_change_nothing(wordpiece, tmp_path):
    (tmp_path / "vocab.txt").write_bytes(wordpiece.read_bytes().replace(b"\n", b"\r\n"))
    assert ids(tokenizers.load(tmp_path), TEXTS) == ids(
        tokenizers.load(wordpiece), TEXTS
    )


def test_the_multilingual_bert_vocabulary_loads_under_any_name(shared):
    found = [
        path
        for path in (shared / "data/tokenizers").glob("*")
        if "multilingual" in path.name
    ]
    if not found:
        pytest.skip("no multilingual BERT vocabulary in the shared data")
    bert = tokenizers.load(found[0])
    assert (bert.vocab_size, bert.bos, bert.eos, bert.mask) == (119547, 101, 102, 103)
    assert bert.ordinary == (104, 119547)
    library_ids = BertWordPieceTokenizer(
        str(found[0]), strip_accents=False, lowercase=False
    )
    for text in TEXTS[:8] + AWKWARD:
        wanted = library_ids.encode(text, add_special_tokens=False).ids
        assert ids(bert, [text]) == [wanted]


# --- RoBERTa ------------------------------------------------------------------------

ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roberta")
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(
        TEXTS, vocab_size=400, special_tokens=ROBERTA_SPECIAL, show_progress=False
    )
    trainer.save_model(str(folder))
    return folder


def test_roberta_gives_the_ids_of_the_library_on_stripped_text(roberta):
    expected = ByteLevelBPETokenizer(
        str(roberta / "vocab.json"), str(roberta / "merges.txt")
    )
    for path in (roberta, roberta / "vocab.json"):
        loaded = tokenizers.load(path)
        for text in TEXTS + AWKWARD:
            wanted = expected.encode(text.strip(), add_special_tokens=False).ids
            assert ids(loaded, [text]) == [wanted]


def test_the_first_word_of_roberta_has_no_space_before_it(roberta):
    loaded = tokenizers.load(roberta)
    assert ids(loaded, [" table"]) == ids(loaded, ["table"])
    assert loaded.decode(loaded.encode(["the table, 杯"])[0]) == "the table, 杯"


def test_the_official_range_of_replacements_is_used_where_it_is_known(
    roberta, tmp_path
):
    """hero_spec A.14: from "." to "<|endoftext|>"."""
    vocab = json.loads((roberta / "vocab.json").read_text())
    loaded = tokenizers.load(roberta)
    assert loaded.ordinary == (5, len(vocab))
    vocab["<|endoftext|>"] = len(vocab)
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text((roberta / "merges.txt").read_text())
    extended = tokenizers.load(tmp_path)
    assert extended.ordinary == (vocab["."], vocab["<|endoftext|>"] + 1)


def test_files_with_a_common_prefix_belong_together(roberta, tmp_path):
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / f"base-{name}").write_bytes((roberta / name).read_bytes())
    loaded = tokenizers.load(tmp_path / "base-vocab.json")
    assert ids(loaded, TEXTS) == ids(tokenizers.load(roberta), TEXTS)


# --- XLM-R --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xlmr")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=110,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return folder / "sentencepiece.bpe.model"


def fairseq_ids(processor, text):
    """fairseq puts `<s> <pad> </s> <unk>` first, where the model has three pieces."""
    return [3 if i == 0 else i + 1 for i in processor.encode(text)]


def test_xlmr_gives_the_ids_of_sentencepiece_under_fairseq_numbers(xlmr):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(xlmr))
    for path in (xlmr, xlmr.parent):
        loaded = tokenizers.load(path)
        for text in [*TEXTS, *AWKWARD, "<s> <mask> </s>"]:
            assert ids(loaded, [text]) == [fairseq_ids(processor, text)]
    special = (loaded.bos, loaded.pad, loaded.eos, loaded.unk)
    assert special == (0, 1, 2, 3)
    assert loaded.mask == processor.get_piece_size() + 1
    assert loaded.ordinary == (4, loaded.mask)


def test_an_xlmr_model_survives_saving(xlmr, tmp_path):
    loaded = tokenizers.load(xlmr)
    loaded.save(tmp_path)
    again = tokenizers.load(tmp_path)
    assert ids(again, TEXTS + AWKWARD) == ids(loaded, TEXTS + AWKWARD)
    assert again.decode(again.encode(["Ann puts the cup"])[0]) == "Ann puts the cup"


def test_a_model_that_is_no_unigram_is_refused(tmp_path):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_prefix=str(tmp_path / "other"),
        vocab_size=110,
        model_type="bpe",
        minloglevel=2,
    )
    with pytest.raises(TokenizerError, match="expected a Unigram model"):
        tokenizers.load(tmp_path / "other.model")


def tokenizer_json(path, names):
    core = library.Tokenizer(library.models.Unigram([(n, 0.0) for n in names], 3))
    core.add_special_tokens(list(names))
    core.normalizer = library.normalizers.NFKC()
    core.pre_tokenizer = library.pre_tokenizers.Metaspace()
    trainer = library.trainers.UnigramTrainer(
        vocab_size=90, special_tokens=list(names), unk_token="<unk>"
    )
    core.train_from_iterator(TEXTS, trainer)
    core.post_processor = library.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    core.enable_truncation(5)
    core.enable_padding()
    core.save(str(path))


def test_a_tokenizer_json_gives_the_ids_of_the_library(tmp_path):
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer_json(tmp_path / "tokenizer.json", names)
    loaded = tokenizers.load(tmp_path)
    expected = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    expected.no_truncation()
    expected.no_padding()
    for text in TEXTS + AWKWARD:
        wanted = expected.encode(text, add_special_tokens=False).ids
        assert ids(loaded, [text]) == [wanted]
    assert loaded.ordinary == (5, loaded.vocab_size)


# --- mistakes in files --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", b"red\nblue\n", "expected a line [UNK]"),
        ("vocab.txt", b"[UNK]\n[CLS]\n", "the special token [SEP] is missing"),
        ("merges.txt", b"#version: 0.2\na b\n", "load the vocab.json beside it"),
        ("vocab.json", b'{"<s>": 0}', "needs a readable merges.txt beside it"),
        ("vocab.json", b'{"<s>": "zero"}', "expected a JSON object of token to id"),
        ("vocab.json", b'{"<s>": ', "not valid JSON"),
        ("tokenizer.json", b'{"model": {}}', "not a usable tokenizer.json"),
        ("ours.json", b'{"format": "hero_jax tokenizer 0"}', "train it anew"),
        ("ours.json", b'{"format": "hero_jax tokenizer 1"}', "core is missing"),
        ("x.model", b"\x0a\x00\xff\xfe", "neither text nor a sentencepiece model"),
        ("x.model", b"\x00", "sentencepiece"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TokenizerError) as caught:
        tokenizers.load(path)
    said = str(caught.value)
    assert str(path) in said
    assert message in said
    assert "\n" not in said


def test_a_wrong_merge_is_named_by_its_line(roberta, tmp_path):
    (tmp_path / "vocab.json").write_bytes((roberta / "vocab.json").read_bytes())
    merges = tmp_path / "merges.txt"
    merges.write_text("#version: 0.2\nĠ t\nthree of them\n")
    with pytest.raises(TokenizerError, match=r"merges.txt line 3: .*two tokens"):
        tokenizers.load(tmp_path)
    merges.write_text("Ġ t\nzebra crossing\n")
    with pytest.raises(TokenizerError, match=r"merges.txt line 2: 'zebra' is not in"):
        tokenizers.load(tmp_path)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(TokenizerError, match="nowhere.*cannot be read"):
        tokenizers.load(tmp_path / "nowhere")
    with pytest.raises(TokenizerError, match=r"expected one of tokenizer\.json"):
        tokenizers.load(tmp_path)
