"""Texts to token ids: a joint multilingual tokenizer is trained, or one is loaded.

`load` recognises by its content what a path holds: a file or folder that
`Tokenizer.save` wrote, a WordPiece `vocab.txt` (mBERT), a byte-level `vocab.json` with
`merges.txt` (RoBERTa), a `tokenizer.json`, a sentencepiece model (XLM-R), or the ids
that a converted dataset has of its texts (`stored_tokens`).
"""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import (
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from data_pipelines.files import write_whole
from data_pipelines.readers.errors import InputError

FORMAT = "hero_jax tokenizer 1"
"""First field of a saved tokenizer; a reader refuses any other number."""
ROBERTA_NAMES = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
BERT_NAMES = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")


class TokenizerError(InputError):
    """A tokenizer file that cannot be used; the message is one line for its owner."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
    """Texts to ids and back; picklable, so that worker processes can have it."""

    core: tokenizers.Tokenizer
    vocab_size: int
    bos: int
    """Starts a query: `<s>`, or `[CLS]` of WordPiece."""
    eos: int
    """Ends a text, and starts a subtitle (B.4): `</s>` or `[SEP]`."""
    pad: int
    unk: int
    mask: int
    ordinary: tuple[int, int]
    """First id and the one after the last from which MLM draws (`v_range`, C.2)."""

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """One int32 array of ids a text, without special tokens; none for blanks."""
        if isinstance(texts, str):
            raise TypeError("encode takes a list of texts, and found a single one")
        # Half of a surrogate pair, which JSON can carry, is no text and becomes "?".
        texts = [text.encode("utf-8", "replace").decode() for text in texts]
        encoded = self.core.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(one.ids, np.int32) for one in encoded]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; special tokens but the unknown one leave nothing."""
        unspoken = {self.bos, self.eos, self.pad, self.mask}
        spoken = [int(i) for i in ids if int(i) not in unspoken]
        return self.core.decode(spoken, skip_special_tokens=False).strip()

    def save(self, path: str | Path) -> None:
        """Writes one file that `load` restores; a path without suffix is a folder."""
        path = Path(path)
        if path.is_dir() or not path.suffix:
            path = path / "tokenizer.json"
        write_whole(path, self._as_json)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Sha256 of everything the ids depend on."""
        return hashlib.sha256(self._as_json.encode()).hexdigest()

    @property
    def _as_json(self) -> str:
        fields = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "core"
        }
        core = json.loads(self.core.to_str())
        return json.dumps({"format": FORMAT, **fields, "core": core}, sort_keys=True)


# --- training -----------------------------------------------------------------------

_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}ー]"
"""Letters of the scripts that put no space between words."""
_SPACED = rf"[[\p{{L}}\p{{N}}]&&[^{_UNSPACED}]]"
_BETWEEN_WORDS = r"[\p{P}&&[^'’.\-_/]]"
"""Punctuation that is never inside a word or a number."""
_LONGEST_PIECE = 12
"""Characters; without a limit a frequent unspaced sentence becomes one token."""


def train(texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
    """A joint BPE vocabulary of all the languages in `texts`, at most `vocab_size`.

    The same texts give the same tokenizer. Special ids are RoBERTa's: `<s>` 0, `<pad>`
    1, `</s>` 2, `<unk>` 3 and `<mask>` last. Text is lower-cased NFKC, and a name has
    the same token next to spaces, punctuation and unspaced scripts:

        "Ann, then (Ann)" -> ▁ann , ▁then ( ▁ann )       "把Ann的" -> 把 ▁ann 的
    """
    texts = list(texts)
    core = _untrained()
    letters = _commonest_letters(core, texts, limit=vocab_size // 2)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        max_token_length=_LONGEST_PIECE,
        min_frequency=2,
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return _with_names(_with_mask(core), ROBERTA_NAMES, "trained tokenizer")


def _commonest_letters(
    core: tokenizers.Tokenizer, texts: Sequence[str], *, limit: int
) -> list[str]:
    """Single characters to begin with; equally common ones go by code point.

    The library's own limit breaks such ties at random.
    """
    counts = Counter("".join(map(core.normalizer.normalize_str, texts)))
    counts.pop(" ", None)
    if not counts or limit < 1:
        raise TokenizerError("no letters to train a tokenizer on, or no room for them")
    ordered = sorted(counts, key=lambda letter: (-counts[letter], letter))
    return ["▁", *ordered[:limit]]  # The sign that a word starts here.


def _untrained() -> tokenizers.Tokenizer:
    core = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    core.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(
                Regex(rf"(?<=[{_UNSPACED}{_BETWEEN_WORDS}])(?={_SPACED})"), " "
            ),
            normalizers.Replace(Regex(r"[\s▁]+"), " "),
            normalizers.Strip(),
            normalizers.Replace(Regex(rf" (?={_UNSPACED})"), ""),
        ]
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Split(Regex(rf"▁(?=[{_UNSPACED}\p{{P}}])"), "removed"),
            pre_tokenizers.Split(Regex(rf"{_UNSPACED}+"), "isolated"),
            # Also what keeps a "<s>" in a text from becoming the special token.
            pre_tokenizers.Punctuation("isolated"),
        ]
    )
    core.decoder = decoders.Metaspace(prepend_scheme="always")
    return core


def _with_mask(core: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """`<mask>` behind the last id; no reserved name is looked for in texts."""
    state = json.loads(core.to_str())
    state["model"]["vocab"]["<mask>"] = len(state["model"]["vocab"])
    state["added_tokens"] = []
    return tokenizers.Tokenizer.from_str(json.dumps(state))


# --- loading ------------------------------------------------------------------------


def load(path: str | Path) -> Tokenizer:
    """The tokenizer in a file or folder, whatever its format (see the module)."""
    path = Path(path)
    if path.is_dir():
        path = _main_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read ({error.strerror})") from None
    if content.lstrip()[:1] == b"{":
        return _from_json(path, content)
    if b"\0" in content or not _is_utf8(content):
        return _from_sentencepiece(path, content)
    return _from_wordpiece(path, content.decode())


def _main_file(folder: Path) -> Path:
    names = ("tokenizer.json", "vocab.json", "sentencepiece.bpe.model", "vocab.txt")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise TokenizerError(f"{folder}: no tokenizer, expected one of {', '.join(names)}")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _from_json(path: Path, content: bytes) -> Tokenizer:
    try:
        state = json.loads(content)
    except ValueError as error:
        raise TokenizerError(f"{path}: not valid JSON ({error})") from None
    if "format" in state:
        return _from_saved(path, state)
    if "model" in state:
        core = _core_of(path, state)
        core.no_truncation()
        core.no_padding()
        return _with_names(core, _names_in(core), str(path))
    return _from_roberta(path, state)


def _from_saved(path: Path, state: dict[str, Any]) -> Tokenizer:
    from data_pipelines import stored_tokens

    if state["format"] == stored_tokens.FORMAT:
        try:
            return stored_tokens.from_fields(state)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise TokenizerError(
                f"{path}: not whole ({error!r}): convert the databases anew"
            ) from None
    if state["format"] != FORMAT:
        raise TokenizerError(
            f"{path}: format is {state['format']!r}, expected {FORMAT!r}: train it anew"
        )
    names = [field.name for field in dataclasses.fields(Tokenizer)]
    missing = [name for name in names if name not in state]
    if missing:
        raise TokenizerError(f"{path}: {missing[0]} is missing: train it anew")
    fields = {name: state[name] for name in names}
    return Tokenizer(
        **fields
        | {"core": _core_of(path, state["core"]), "ordinary": tuple(state["ordinary"])}
    )


def _core_of(path: Path, state: Mapping[str, Any]) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(state))
    except Exception as error:  # The library raises nothing more specific.
        raise TokenizerError(f"{path}: not a usable tokenizer.json ({error})") from None


def _from_roberta(path: Path, vocab: Mapping[str, int]) -> Tokenizer:
    """Byte-level BPE as transformers 2.0.0 ran it (B.2): outer white space goes, and
    the first word has no space before it. Blank text has no tokens (H-30 mended)."""
    if not all(type(i) is int for i in vocab.values()):
        raise TokenizerError(f"{path}: expected a JSON object of token to id")
    core = tokenizers.Tokenizer(_byte_level_bpe(path, vocab))
    # White space as Python's str.strip() has it.
    around = Regex(r"\A[\s\x1c-\x1f]+|[\s\x1c-\x1f]+\z")
    core.normalizer = normalizers.Replace(around, "")
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    loaded = _with_names(core, ROBERTA_NAMES, str(path))
    if "." in vocab and "<|endoftext|>" in vocab:  # The official v_range (A.14).
        official = (vocab["."], vocab["<|endoftext|>"] + 1)
        return dataclasses.replace(loaded, ordinary=official)
    return loaded


def _byte_level_bpe(path: Path, vocab: Mapping[str, int]) -> models.BPE:
    merges_path = path.with_name(path.name.replace("vocab.json", "merges.txt"))
    if merges_path == path or not merges_path.is_file():
        merges_path = path.with_name("merges.txt")
    try:
        lines = merges_path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        raise TokenizerError(
            f"{path}: needs a readable {merges_path.name} beside it"
        ) from None
    merges = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        merges.append(_merge(merges_path, number, line.rstrip("\r"), vocab))
    return models.BPE(dict(vocab), merges, unk_token="<unk>")


def _merge(
    path: Path, number: int, line: str, vocab: Mapping[str, int]
) -> tuple[str, str]:
    parts = line.split(" ")
    if len(parts) != 2:
        raise TokenizerError(
            f"{path} line {number}: {line!r}: expected two tokens and one space"
        )
    for token in (*parts, "".join(parts)):
        if token not in vocab:
            raise TokenizerError(f"{path} line {number}: {token!r} is not in the vocab")
    return parts[0], parts[1]


def _from_wordpiece(path: Path, content: str) -> Tokenizer:
    """A cased BERT vocabulary, one token a line: accents and case are kept."""
    tokens = [line.rstrip("\r") for line in content.split("\n")]
    while tokens and not tokens[-1]:
        tokens.pop()
    if tokens and tokens[0].startswith("#version"):
        raise TokenizerError(f"{path}: these are merges: load the vocab.json beside it")
    vocab = {token: i for i, token in enumerate(tokens)}
    if "[UNK]" not in vocab:
        raise TokenizerError(f"{path}: no tokenizer: expected a line [UNK]")
    core = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    return _with_names(core, BERT_NAMES, str(path), vocab_size=len(tokens))


def _from_sentencepiece(path: Path, content: bytes) -> Tokenizer:
    """XLM-R's model under fairseq's ids: four specials, the pieces from the fourth on,
    and the mask (ecosystem.md 5)."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    try:
        model.ParseFromString(content)
    except Exception as error:  # DecodeError, whose home depends on the version.
        raise TokenizerError(
            f"{path}: neither text nor a sentencepiece model ({error})"
        ) from None
    _check_unigram(path, model)
    # A space in its name keeps a special token from being found in a text.
    specials = [(f" {name}", 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces = [(piece.piece, piece.score) for piece in model.pieces[3:]]
    vocab = [*specials, *pieces, (" <mask>", 0.0)]
    core = tokenizers.Tokenizer(models.Unigram(vocab, unk_id=3))
    spec = model.normalizer_spec
    charsmap = spec.precompiled_charsmap
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    core.normalizer = normalizers.Sequence(
        [*([normalizers.Precompiled(charsmap)] if charsmap else []), spaces]
    )
    scheme = "always" if spec.add_dummy_prefix else "never"
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(prepend_scheme=scheme),
        ]
    )
    core.decoder = decoders.Metaspace(prepend_scheme=scheme)
    names = tuple(f" {name}" for name in ROBERTA_NAMES)
    return _with_names(core, names, str(path))


def _check_unigram(path: Path, model: Any) -> None:
    """Refuses what fairseq's ids and the Unigram model cannot express."""
    first = [piece.piece for piece in model.pieces[:3]]
    if first != ["<unk>", "<s>", "</s>"]:
        raise TokenizerError(
            f"{path}: first pieces are {first}, expected <unk> <s> </s> as in XLM-R"
        )
    kind = type(model.pieces[0])
    unsupported = {kind.USER_DEFINED, kind.BYTE}
    if model.trainer_spec.model_type != model.trainer_spec.UNIGRAM or any(
        piece.type in unsupported for piece in model.pieces
    ):
        raise TokenizerError(
            f"{path}: expected a Unigram model without byte or user-defined pieces"
        )


def _names_in(core: tokenizers.Tokenizer) -> tuple[str, ...]:
    """Whose names a tokenizer.json uses for its special tokens."""
    is_bert = core.token_to_id("[CLS]") is not None
    return BERT_NAMES if is_bert else ROBERTA_NAMES


def _with_names(
    core: tokenizers.Tokenizer,
    names: Sequence[str],
    origin: str,
    *,
    vocab_size: int | None = None,
) -> Tokenizer:
    """`names` are those of the bos, eos, pad, unk and mask tokens."""
    vocab = core.get_vocab()
    missing = [name for name in names if name not in vocab]
    if missing:
        raise TokenizerError(f"{origin}: the special token {missing[0]} is missing")
    bos, eos, pad, unk, mask = (vocab[name] for name in names)
    size = vocab_size or max(vocab.values()) + 1
    ordinary = _longest_gap((bos, eos, pad, unk, mask), size)
    return Tokenizer(core, size, bos, eos, pad, unk, mask, ordinary)


def _longest_gap(ids: Sequence[int], size: int) -> tuple[int, int]:
    """The longest run of ids without a special one, as (first, one after the last)."""
    walls = [-1, *sorted(ids), size]
    runs = [(low + 1, high) for low, high in itertools.pairwise(walls)]
    return max(runs, key=lambda run: run[1] - run[0])
