"""Token ids as released databases hold them, in the place of a tokenizer.

A converted dataset has every text beside the ids that the official preparation gave it.
`hero-jax convert-db` writes both into one file, `<dataset>.tokens.json`, which
`tokenizers.load` opens: whoever lacks RoBERTa's vocabulary can still train and search.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers as library
from tokenizers import models

from data_pipelines.corpus import open_corpus
from data_pipelines.files import write_whole
from data_pipelines.readers.errors import found
from data_pipelines.schema import Corpus
from data_pipelines.tokenizers import Tokenizer, TokenizerError

FORMAT = "hero_jax stored tokens 1"
"""First field of the file; a reader refuses any other number."""
IDS = ("bos", "eos", "pad", "unk", "mask")
NEEDED = {"bos": ("BOS", "CLS"), "eos": ("EOS", "SEP"), "pad": ("PAD",),
          "unk": ("UNK",), "mask": ("MASK",)}  # fmt: skip
"""Our names of special tokens, and theirs in a database's meta.json."""
REMEDY = "name RoBERTa's vocab.json with merges.txt as the tokenizer"


@dataclasses.dataclass(frozen=True, eq=False)
class StoredTokens(Tokenizer):
    """Known texts to their ids; any other text is refused."""

    texts: Mapping[str, Sequence[int]]

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        if isinstance(texts, str):
            raise TypeError("encode takes a list of texts, and found a single one")
        return [self._ids(text) for text in texts]

    def _ids(self, text: str) -> np.ndarray:
        if text not in self.texts and text.strip():
            raise TokenizerError(
                f"stored tokens: {found(text)} is none of the {len(self.texts)} texts "
                f"of the converted databases; {REMEDY} to read others"
            )
        return np.array(self.texts.get(text, ()), np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        raise TokenizerError(f"stored tokens: ids do not tell words; {REMEDY} to write")

    @property
    def _as_json(self) -> str:
        fields: dict[str, Any] = {name: getattr(self, name) for name in IDS}
        fields |= {"vocab_size": self.vocab_size, "ordinary": self.ordinary}
        fields |= {"texts": {text: list(ids) for text, ids in self.texts.items()}}
        content = {"format": FORMAT, **fields}
        return json.dumps(content, sort_keys=True, ensure_ascii=False)

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        """Sha256 of everything the ids depend on."""
        return hashlib.sha256(self._as_json.encode()).hexdigest()


def path_of(directory: Path, dataset: str) -> Path:
    return directory / f"{dataset}.tokens.json"


def write(directory: Path, dataset: str, splits: Iterable[str]) -> int | None:
    """Writes the texts and ids of a converted dataset, if it holds ids.

    Returns the number of texts that have several ids, of which the first are kept;
    None where there is nothing to write.
    """
    corpora = [open_corpus(directory, dataset, split) for split in splits]
    special = next((c.special_tokens for c in corpora if c.special_tokens), {})
    names = {ours: [special[n] for n in theirs if n in special]
             for ours, theirs in NEEDED.items()}  # fmt: skip
    if not all(names.values()):
        return None
    texts: dict[str, list[int]] = {}
    others = set()
    for text, ids in (pair for corpus in corpora for pair in pairs(corpus)):
        if texts.setdefault(text, ids) != ids:
            others.add(text)
    if not texts:
        return None
    stored = _stored({name: ids[0] for name, ids in names.items()}, special, texts)
    write_whole(path_of(directory, dataset), stored._as_json)
    return len(others)


def pairs(corpus: Corpus) -> Iterator[tuple[str, list[int]]]:
    """Every text of a corpus that has ids, with them."""
    texts_of = dict(_records(corpus))
    for tokens in corpus.tokens:
        texts = texts_of.get((tokens.kind, tokens.record_id), ())
        yield from zip(texts, map(list, tokens.texts))


def _records(corpus: Corpus) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """(kind, id) of every record -> its texts in the order of their ids."""
    (language, *_) = corpus.languages
    for video in corpus.videos:
        lines = video.subtitles.get(language, ())
        yield ("videos", video.video_id), [line.text for line in lines]
    for query in corpus.queries:
        yield ("queries", query.query_id), [*query.texts.values()]
    for one in corpus.questions:
        spoken = (one.texts, *one.answers)
        texts = [text for by in spoken for text in by.values()]
        yield ("questions", one.question_id), texts
    for statement in corpus.statements:
        yield ("statements", statement.statement_id), [*statement.texts.values()]
    for moment in corpus.captions:
        written = [text for c in moment.captions for text in c.texts.values()]
        yield ("captions", moment.moment_id), written


def _stored(
    ids: Mapping[str, int], special: Mapping[str, int], texts: Mapping[str, list[int]]
) -> StoredTokens:
    largest = max(*ids.values(), *(max(row, default=0) for row in texts.values()))
    end = special.get("V_END", largest + 1)
    first = special.get("V_FIRST", 1 + max(i for i in ids.values() if i < end - 1))
    return from_fields(
        {**ids, "vocab_size": max(largest + 1, end), "ordinary": (first, end),
         "texts": texts}
    )  # fmt: skip


def from_fields(fields: Mapping[str, Any]) -> StoredTokens:
    """What `write` wrote; the fields are those of the file."""
    return StoredTokens(
        core=library.Tokenizer(models.WordLevel({})),
        vocab_size=int(fields["vocab_size"]),
        ordinary=(int(fields["ordinary"][0]), int(fields["ordinary"][1])),
        texts=fields["texts"],
        **{name: int(fields[name]) for name in IDS},
    )
