"""A task's examples as an endless stream; each batch is a pure function of its number.

One global order, cut into fixed blocks; a block is packed into batches by itself, so
batch k depends on (seed, k) alone: not on hosts, workers or prefetching. The order is
stratified: position p of every block comes from the p-th of equally large strata of
cost (short to long), so all blocks hold nearly the same number of slots and one static
shape fits them.

    strata (by cost)   a a' a"  b b' b"  c c' c" ...     position of block j
    block j            a'       b        c"      ...  -> 4 balanced batches
"""

import dataclasses
import functools
import itertools
import logging
import math
import threading
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import grain.python as grain
import jax
import numpy as np
from absl import flags

from hero_jax.errors import UserError
from hero_jax.tasks import packing
from hero_jax.tasks.base import Task
from hero_jax.tasks.shares import shares
from hero_jax.types import PyTree

BLOCK_BATCHES = 4
"""Batches that share a block: more balance better, fewer prepare sooner."""

PLANNING_BLOCKS = 8
"""Blocks prepared at the start to choose the static shape."""

SIGMAS = 3.0
"""Head-room of the static shape above the mean need, in standard deviations."""

VERSION = 4
"""Of order, packing and draws; a change makes old positions unusable, and says so."""


@dataclasses.dataclass(frozen=True)
class Order:
    """The endless global order of example numbers, in blocks of `size`."""

    strata: tuple[np.ndarray, ...]
    seed: tuple[int, ...]

    def block(self, number: int) -> list[tuple[int, int]]:
        """(example, visit) at every position; visit v is an example's v-th use."""
        return [self._member(s, number) for s in range(len(self.strata))]

    def _member(self, stratum: int, number: int) -> tuple[int, int]:
        members = self.strata[stratum]
        visit, place = divmod(number, len(members))
        rng = np.random.default_rng((*self.seed, stratum, visit))
        return int(members[rng.permutation(len(members))[place]]), visit


def stratified(costs: np.ndarray, block_size: int, seed: tuple[int, ...]) -> Order:
    """Examples in `block_size` strata of rising cost, nearly equal in size."""
    by_cost = np.argsort(costs, kind="stable")
    return Order(tuple(np.array_split(by_cost, block_size)), seed)


class Pipeline:
    """The batches of one task on one split."""

    def __init__(
        self,
        task: Task,
        *,
        name: str,
        seed: int,
        split: str = "train",
        num_groups: int = 1,
        multiple: int = 1,
        num_workers: int = 0,
    ):
        """Opens the split and chooses the static shape.

        Args:
            num_groups: shards whose videos and rows stay together ("pack groups").
            multiple: sizes are rounded up to it, so that a data axis divides them.
            num_workers: processes that prepare batches; 0 prepares in threads.
        """
        self.task, self.name, self.seed, self.split = task, name, seed, split
        self.num_groups, self.multiple = num_groups, multiple
        self.num_workers = num_workers
        self.examples = task.examples(split)
        self._check()
        num_batches = min(BLOCK_BATCHES, len(self.examples) // task.batch_size)
        self._block_size = num_batches * task.batch_size
        costs = np.array([task.expected_cost(e) for e in self.examples])
        self._tag = (seed, zlib.crc32(f"{name}/{split}".encode()))
        self.order = stratified(costs, self._block_size, self._tag)
        self._overflows: set[tuple[str, int]] = set()
        self.capacity, self.fill = self._shape()

    def batch(self, number: int, *, host: int = 0, num_hosts: int = 1) -> PyTree:
        """Batch `number` in numpy: all of it, or the rows of one host."""
        return self._collate(number, self.capacity, host, num_hosts)[0]

    def batches(
        self, start: int = 0, *, host: int = 0, num_hosts: int = 1
    ) -> Iterator[PyTree]:
        """Batches from number `start` on, prefetched; nothing of it is saved state."""
        first_block, skipped = divmod(start, self.batches_per_block)
        source = _Blocks(self, first_block, host, num_hosts)
        dataset = grain.MapDataset.source(source).to_iter_dataset(
            grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
        )
        if self.num_workers:
            flags.FLAGS.mark_as_parsed()  # Grain reads its defaults from there
            dataset = dataset.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=self.num_workers)
            )
        batches = itertools.chain.from_iterable(dataset)
        return itertools.islice(batches, skipped, None)

    def fingerprint(self) -> dict[str, str | int | float]:
        """What the batches depend on, by field; compared on resume."""
        return {
            "pipeline_version": VERSION,
            "seed": self.seed,
            "split": self.split,
            "batch_size": self.task.batch_size,
            "num_groups": self.num_groups,
            "num_examples": len(self.examples),
            **self.task.fingerprint(self.split),
        }

    def _check(self) -> None:
        num_examples, batch_size = len(self.examples), self.task.batch_size
        if num_examples < batch_size:
            raise UserError(
                f"task {self.name}: batch_size: found {batch_size}, but split "
                f"{self.split!r} has {num_examples} examples; use that many or fewer"
            )
        if batch_size % self.num_groups:
            raise UserError(
                f"task {self.name}: batch_size: found {batch_size}, expected a "
                f"multiple of the {self.num_groups} pack groups"
            )

    def _shape(self) -> tuple[Mapping[str, int], float]:
        """Static sizes and mean fill; found once for pipelines of equal batches.

        Runs that differ in their objective only share them, and so their programs.
        """
        key = (type(self.task), self.name, self.multiple, *self.fingerprint().items())
        if key not in _shapes:
            self.capacity = self._choose_capacity()
            first = map(self.batch, range(self.batches_per_block))
            fill = float(np.mean([self.task.fill(batch) for batch in first]))
            _shapes[key] = self.capacity, fill
        return _shapes[key]

    def _choose_capacity(self) -> dict[str, int]:
        """Static sizes that hold nearly every batch, from the first few blocks."""
        num_batches = PLANNING_BLOCKS * self.batches_per_block
        needs = [self._collate(k, {}, 0, 0)[1] for k in range(num_batches)]
        per_group = self.multiple // math.gcd(self.multiple, self.num_groups)
        sizes = {
            part: np.array([need[part] for need in needs], float) for part in needs[0]
        }
        # Needs are whole, which widens their spread; so the nearest, not the next.
        enough = lambda values: round(values.mean() + SIGMAS * values.std())
        return {"multiple": per_group} | {
            part: packing.round_up(enough(values), per_group)
            for part, values in sizes.items()
        }

    @property
    def batches_per_block(self) -> int:
        return self._block_size // self.task.batch_size

    def _collate(
        self, number: int, capacity: Mapping[str, int], host: int, num_hosts: int
    ) -> tuple[PyTree, dict[str, int]]:
        prepared = self._batch_of_block(number)
        costs = [self.task.cost(p) for p in prepared]
        groups = [
            [prepared[i] for i in group]
            for group in packing.balance(costs, self.num_groups)
        ]
        size = len(prepared)
        local = (
            slice(host * size // num_hosts, (host + 1) * size // num_hosts)
            if (num_hosts)
            else slice(0)
        )
        batch, used = self.task.collate(
            groups,
            capacity,
            split=self.split,
            local=local,
            rng=np.random.default_rng((*self._tag, 1, number)),
        )
        self._log_overflow(number, capacity, used)
        if num_hosts > 1:
            batch = jax.tree.map(
                functools.partial(_host_rows, host=host, num_hosts=num_hosts), batch
            )
        return batch, used

    def _log_overflow(self, number, capacity, used) -> None:
        for part, needed in used.items():
            size = capacity.get(part, needed)
            fitted = packing.fit(needed, capacity, part)
            if needed > size and (part, fitted) not in self._overflows:
                self._overflows.add((part, fitted))
                logging.warning(
                    "task %s, batch %d: %s needs %d, planned %d; compiling a larger "
                    "shape for it",
                    *(self.name, number, part, needed, size),
                )

    def _batch_of_block(self, number: int) -> list[Any]:
        block, place = divmod(number, self.batches_per_block)
        return self._block(block)[place]

    def _block(self, number: int) -> list[list[Any]]:
        """The prepared examples of a block in balanced batches; the last is kept."""
        kept: _Kept | None = getattr(_last_block, "kept", None)
        if kept and kept.pipeline is self and kept.number == number:
            return kept.batches
        start = np.random.default_rng((*self._tag, 2, number)).random()
        even = shares(start, self._block_size)
        prepared = [
            self.task.prepare(
                self.examples[index],
                np.random.default_rng((*self._tag, 0, index, visit)),
                share,
            )
            for (index, visit), share in zip(self.order.block(number), even)
        ]
        costs = [self.task.cost(p) for p in prepared]
        batches = [
            [prepared[i] for i in chosen]
            for chosen in packing.balance(costs, len(prepared) // self.task.batch_size)
        ]
        _last_block.kept = _Kept(self, number, batches)
        return batches


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    """The block a thread prepared last: its other batches come next."""

    pipeline: Pipeline
    number: int
    batches: list[list[Any]]


_last_block = threading.local()
_shapes: dict[tuple, tuple[Mapping[str, int], float]] = {}


@dataclasses.dataclass
class _Blocks:
    """The batches of each block in a list, for Grain: one element, one preparation."""

    pipeline: Pipeline
    first: int
    host: int
    num_hosts: int

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> list[PyTree]:
        pipeline = self.pipeline
        start = (self.first + int(index)) * pipeline.batches_per_block
        return [
            pipeline.batch(start + k, host=self.host, num_hosts=self.num_hosts)
            for k in range(pipeline.batches_per_block)
        ]

    def __repr__(self) -> str:
        return f"blocks of {self.pipeline.name} from {self.first}"


def _host_rows(array: np.ndarray, *, host: int, num_hosts: int) -> np.ndarray:
    """This host's equal part of axis 0."""
    size = len(array) // num_hosts
    return array[host * size : (host + 1) * size]
