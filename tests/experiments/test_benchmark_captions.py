"""The benchmark of writing runs at a small size and finds the same words every way."""

from experiments.benchmarks.captions import Captions, run


def test_all_ways_write_the_same_words():
    seconds = run(Captions(3, 4, 5, width=64, vocab_size=40, repeats=1))
    assert len(seconds) == 3
    assert min(seconds.values()) > 0
