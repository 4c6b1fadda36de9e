"""A dictionary learnt from translated texts, and texts that switch language by it.

IBM model 1 (Brown et al. 1993) in both directions: p(t | s) says how often a word s of
one language is what a word t of the other comes from. A pair enters the dictionary
where each is the likeliest translation of the other, which drops most words that merely
occur together. Words are any whole numbers, such as the pieces of a tokenizer. Learn
from training texts only: a dictionary of test texts is a leak.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Text = np.ndarray
"""Word numbers [T]."""


@dataclasses.dataclass(frozen=True)
class DictionaryConfig:
    """How sure an entry has to be."""

    num_iterations: int = 8
    """Rounds of expectation and maximisation."""
    min_count: int = 3
    """Rarer words are not translated."""
    min_probability: float = 0.2
    """Least p(t | s) of an entry, in both directions."""
    max_share: float = 0.1
    """Words in a larger share of the texts are function words and stay as they are."""


def learn(
    pairs: Sequence[tuple[Text, Text]], config: DictionaryConfig = DictionaryConfig()
) -> dict[int, int]:
    """Word of the first language -> its translation in the second."""
    first, second = ([np.unique(pair[side]) for pair in pairs] for side in (0, 1))
    forward = translations(list(zip(first, second)), config.num_iterations)
    backward = translations(list(zip(second, first)), config.num_iterations)
    is_content = [_content_words(texts, config) for texts in (first, second)]
    return {
        word: other
        for word, (other, probability) in forward.items()
        if probability >= config.min_probability
        and backward[other][0] == word
        and backward[other][1] >= config.min_probability
        and word in is_content[0]
        and other in is_content[1]
    }


def learn_words(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]],
    config: DictionaryConfig = DictionaryConfig(),
) -> dict[str, str]:
    """The same of texts whose words are written out."""
    number: dict[str, int] = {}
    numbered = lambda words: np.array(
        [number.setdefault(word, len(number)) for word in words], int
    )
    learnt = learn([(numbered(a), numbered(b)) for a, b in pairs], config)
    words = list(number)
    return {words[word]: words[other] for word, other in learnt.items()}


def translations(
    pairs: Sequence[tuple[Text, Text]], num_iterations: int
) -> dict[int, tuple[int, float]]:
    """Each first word's likeliest second word t, and p(t | s), by IBM model 1.

    There is no empty word: what translates nothing is left to `min_probability`.
    """
    source, target, place = _links(pairs)
    if not len(source):
        return {}
    width = int(target.max()) + 1
    codes, link = np.unique(source * width + target, return_inverse=True)
    words, word = np.unique(codes // width, return_inverse=True)
    p = np.ones(len(codes))
    for _ in range(num_iterations):
        given = p[link]
        explained = np.bincount(place, given)
        counts = np.bincount(link, given / explained[place], len(codes))
        p = counts / np.bincount(word, counts)[word]
    order = np.lexsort((codes, -p, word))
    best = order[np.unique(word[order], return_index=True)[1]]
    return {int(w): (int(codes[i] % width), float(p[i])) for w, i in zip(words, best)}


def switched(
    text: Text,
    dictionary: Mapping[int, int],
    rate: float,
    rng: np.random.Generator,
) -> Text:
    """The text with each word that has a translation replaced by it, with `rate`."""
    draws = rng.random(len(text)) < rate
    words = [
        dictionary.get(int(word), int(word)) if is_drawn else int(word)
        for word, is_drawn in zip(text, draws)
    ]
    return np.array(words, text.dtype)


def _links(
    pairs: Sequence[tuple[Text, Text]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All (source, target) words of every pair, and the target place of each link."""
    parts = list(_link_parts(pairs))
    if not parts:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    source, target, place = (np.concatenate(part) for part in zip(*parts))
    return source, target, place


def _link_parts(
    pairs: Sequence[tuple[Text, Text]],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    first = 0
    for source, target in pairs:
        if len(source) and len(target):
            place = first + np.arange(len(target))
            yield (
                np.tile(source.astype(np.int64), len(target)),
                np.repeat(target.astype(np.int64), len(source)),
                np.repeat(place, len(source)),
            )
            first += len(target)


def _content_words(texts: Sequence[Text], config: DictionaryConfig) -> set[int]:
    """Words frequent enough to be learnt and rare enough to mean something."""
    words, counts = np.unique(np.concatenate([*texts, []]), return_counts=True)
    is_content = counts >= config.min_count
    is_content &= counts <= config.max_share * len(texts)
    return set(words[is_content].astype(int).tolist())
