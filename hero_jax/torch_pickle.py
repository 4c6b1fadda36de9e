"""The pickles inside PyTorch's files, read and written without running what they say.

A pickle is a program for a small stack machine. This machine knows the instructions
that build dicts, lists, tuples, numbers and texts, and no others. A name in the file is
looked up in `NAMES` below, never imported; calling one runs a function of this module.
"""

import dataclasses
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from hero_jax.errors import UserError

MAX_BYTES = 1 << 20
"""Of one pickle; the largest official model needs 60 kB."""
MAX_ARGUMENTS = 16
"""Of one call; passing them on costs time in proportion. Tensors have seven at most."""
MAX_SIZE = 1 << 48
"""Bound of any size, stride or offset."""


class TorchFileError(UserError):
    """A file of weights that is damaged, unsafe or not of this kind, in one line."""


class BadPickle(Exception):
    """What is wrong with a pickle; whoever knows the file says so."""


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of values in a file, by the key under which the file keeps it."""

    dtype: np.dtype
    key: str
    size: int
    """Values, not bytes."""

    @property
    def num_bytes(self) -> int:
        return self.size * self.dtype.itemsize


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage, checked to lie within it; sizes and strides in values."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.storage.dtype.itemsize


STORAGES = {
    f"torch {name}Storage": np.dtype(dtype)
    for name, dtype in {
        "Float": "<f4", "Half": "<f2", "Double": "<f8", "BFloat16": jnp.bfloat16,
        "Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "i1", "Byte": "u1",
        "Bool": "?",
    }.items()
}  # fmt: skip
"""Names of storages and what they hold."""


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """`_rebuild_tensor_v2`, with views that repeat or leave their storage refused."""
    if not isinstance(storage, Storage):
        raise BadPickle("a tensor without a storage")
    whole = _sizes(shape), _sizes(strides), _sizes((offset,))
    shape, strides, (offset,) = whole
    if len(shape) != len(strides) or len(shape) > 32:
        raise BadPickle(f"a tensor with {len(shape)} axes, {len(strides)} strides")
    count = math.prod(shape)
    if math.prod(max(size, 1) for size in shape) >= MAX_SIZE:
        raise BadPickle("a tensor whose sizes are negative or huge")
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides))
    if count and (count > storage.size or last >= storage.size):
        raise BadPickle(f"a tensor of shape {list(shape)} outside its storage")
    return Tensor(storage, offset if count else 0, shape, strides)


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple) or any(type(v) is not int for v in values):
        raise BadPickle("a tensor whose sizes are no numbers")
    if any(not 0 <= v < MAX_SIZE for v in values):
        raise BadPickle("a tensor whose sizes are negative or huge")
    return values


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise BadPickle("a parameter that is no tensor")
    return data


def _ordered_dict(*items: Any) -> dict:
    if items:
        raise BadPickle("an OrderedDict made from something")
    return {}


NAMES: Mapping[str, Any] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
    **STORAGES,
}
"""Every name that a file may use, and what it stands for here."""
FUNCTIONS = (_ordered_dict, _tensor, _parameter)


def load(data: bytes) -> tuple[Any, int]:
    """The object at the beginning of `data`, and how many bytes it took.

    Raises BadPickle for whatever is unknown, damaged or not allowed.
    """
    machine = Machine(data)
    try:
        return machine.run(), machine.position
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        reason = f"{type(error).__name__} at byte {machine.position}"
        raise BadPickle(f"a damaged pickle ({reason})") from None


class Machine:
    """The stack, the memo and the place in the program."""

    def __init__(self, data: bytes):
        self.data, self.position = data, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := self.take(1)) != b".":
            instruction = INSTRUCTIONS.get(code)
            if instruction is None:
                raise BadPickle(f"instruction {code!r} at byte {self.position - 1}")
            instruction(self)
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        """The next bytes of the program."""
        taken = self.data[self.position : self.position + count]
        if count > MAX_BYTES or len(taken) < count:
            raise BadPickle("a pickle without an end")
        self.position += count
        return taken

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self, layout: str) -> None:
        self.stack.append(self.take(self.number(layout)).decode("utf-8"))

    def line(self) -> str:
        end = self.data.find(b"\n", self.position, self.position + 200)
        if end < 0:
            raise BadPickle("a name without an end")
        return self.take(end + 1 - self.position)[:-1].decode("utf-8")

    def since_mark(self) -> list[Any]:
        """What has been pushed since the last mark, taken off the stack."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise BadPickle("a name that is no text")
        full = f"{module} {name}"
        if full not in NAMES:
            raise BadPickle(f"the name {full[:80]!r}, which no file of weights needs")
        self.stack.append(NAMES[full])

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not any(function is known for known in FUNCTIONS):
            raise BadPickle("a call of something that is no function")
        if not isinstance(arguments, tuple) or len(arguments) > MAX_ARGUMENTS:
            raise BadPickle("a call without arguments, or with too many")
        self.stack.append(function(*arguments))

    def storage(self) -> None:
        """('storage', type, key, place, size[, view]): a storage by reference."""
        reference = self.stack.pop()
        if not isinstance(reference, tuple) or len(reference) not in (5, 6):
            raise BadPickle("a reference to something that is no storage")
        kind, dtype, key, _, size, *view = reference
        is_storage = (
            kind == "storage"
            and isinstance(dtype, np.dtype)
            and isinstance(key, str)
            and type(size) is int
            and 0 <= size < MAX_SIZE
            and view in ([], [None])
        )
        if not is_storage:
            raise BadPickle("a reference to something that is no storage")
        self.stack.append(Storage(dtype, key, size))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise BadPickle("an item for something that is no list")
        target.extend(values)

    def update(self, flat: list[Any]) -> None:
        """Keys are texts or numbers: hashing anything else could take for ever."""
        target = self.stack[-1]
        if not isinstance(target, dict) or len(flat) % 2:
            raise BadPickle("an entry for something that is no dict")
        for key, value in zip(flat[::2], flat[1::2]):
            if type(key) not in (str, int):
                raise BadPickle("a key that is neither text nor number")
            if key in target:
                raise BadPickle(f"two entries under {str(key)[:80]!r}")
            target[key] = value

    def forget(self) -> None:
        """BUILD: attributes of a dict (PyTorch's `_metadata`) say nothing to us."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise BadPickle("attributes for something that is no dict")

    def tuple(self, size: int) -> None:
        items = self.stack[len(self.stack) - size :]
        if len(items) != size:
            raise BadPickle("a tuple of missing things")
        del self.stack[len(self.stack) - size :]
        self.stack.append(tuple(items))

    def push(self, value: Any) -> None:
        self.stack.append(value)


def _version(machine: Machine) -> None:
    if (version := machine.number("<B")) > 5:
        raise BadPickle(f"pickle version {version}")


def _stacked_name(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.name(module, name)


def _entry(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.update([key, value])


def _long(machine: Machine) -> None:
    raw = machine.take(machine.number("<B"))
    machine.push(int.from_bytes(raw, "little", signed=True))


INSTRUCTIONS: Mapping[bytes, Callable[[Machine], Any]] = {
    b"\x80": _version,
    b"\x95": lambda m: m.take(8),  # the length of a frame
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": _long,
    b"G": lambda m: m.push(m.number(">d")),
    b"X": lambda m: m.text("<I"),
    b"\x8c": lambda m: m.text("<B"),
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: m.tuple(1),
    b"\x86": lambda m: m.tuple(2),
    b"\x87": lambda m: m.tuple(3),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"e": lambda m: m.extend(m.since_mark()),
    b"s": _entry,
    b"u": lambda m: m.update(m.since_mark()),
    b"q": lambda m: m.put(m.number("<B")),
    b"r": lambda m: m.put(m.number("<I")),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": _stacked_name,
    b"R": Machine.call,
    b"b": Machine.forget,
    b"Q": Machine.storage,
}
"""Every instruction that is obeyed."""


# --- writing ------------------------------------------------------------------------


def dump(value: Any, *, has_views: bool = False) -> bytes:
    """`value` as `torch.save` pickles it: dicts, lists, tuples, plain values, Tensors.

    Before PyTorch 1.6 a reference to a storage named a view of it, which is None.
    """
    return b"\x80\x02" + _written(value, (None,) if has_views else ()) + b"."


def _written(value: Any, view: tuple) -> bytes:
    every = lambda values: b"".join(_written(item, view) for item in values)
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return b"X" + struct.pack("<I", len(raw)) + raw
    if isinstance(value, tuple):
        return b"(" + every(value) + b"t"
    if isinstance(value, list):
        return b"](" + every(value) + b"e"
    if isinstance(value, Mapping):
        return b"}(" + every(part for item in value.items() for part in item) + b"u"
    return _written_tensor(value, view)


def _written_tensor(tensor: Tensor, view: tuple) -> bytes:
    every = lambda *values: b"".join(_written(value, view) for value in values)
    storage = tensor.storage
    kind = next(name for name, dtype in STORAGES.items() if dtype == storage.dtype)
    place = every(storage.key, "cpu", storage.size, *view)
    reference = b"(" + every("storage") + _global(kind) + place + b"tQ"
    rest = every(tensor.offset, tensor.shape, tensor.strides, False)
    hooks = _global("collections OrderedDict") + b")R"
    function = _global("torch._utils _rebuild_tensor_v2")
    return function + b"(" + reference + rest + hooks + b"tR"


def _global(name: str) -> bytes:
    return b"c" + name.replace(" ", "\n").encode() + b"\n"
