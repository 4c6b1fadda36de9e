"""Configurations as JSON and back: frozen dataclasses by qualified name.

    {"class": "hero_jax.train.TrainConfig", "steps": 1000, "tasks": {...}, ...}

Reading builds only dataclasses of this package, so that a file cannot name code to run.
"""

import collections.abc
import dataclasses
import difflib
import importlib
import json
import re
import types
import typing
from pathlib import Path
from typing import Any

from hero_jax.errors import UserError

CLASS = "class"
"""The key that names a dataclass."""

QUALIFIED_NAME = re.compile(r"(hero_jax(?:\.[a-z][a-z0-9_]*)+)\.([A-Z]\w*)")


class ConfigError(UserError):
    """Names the place inside the configuration."""


def to_json(value: Any, place: str = "config") -> Any:
    """`value` in JSON's own types; tuples become lists, dataclasses objects."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: to_json(getattr(value, field.name), f"{place}.{field.name}")
            for field in dataclasses.fields(value)
        }
        return {CLASS: qualified_name(type(value))} | fields
    if isinstance(value, tuple):
        return [to_json(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, collections.abc.Mapping):
        return {
            _key(key, place): to_json(value[key], f"{place}.{key}") for key in value
        }
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ConfigError(
        f"{place}: found a {type(value).__name__}; a configuration holds numbers, "
        f"texts, tuples, mappings and dataclasses"
    )


def from_json(value: Any, place: str = "config") -> Any:
    """What `to_json` was given; lists become tuples."""
    if isinstance(value, list):
        return tuple(from_json(item, f"{place}[{i}]") for i, item in enumerate(value))
    if not isinstance(value, dict):
        return value
    fields = {
        key: from_json(item, f"{place}.{key}")
        for key, item in value.items()
        if key != CLASS
    }
    if CLASS not in value:
        return fields
    return build(find_class(value[CLASS], place), fields, place)


def save(value: Any, path: Path) -> None:
    path.write_text(json.dumps(to_json(value), indent=2, ensure_ascii=False) + "\n")


def load(path: Path) -> Any:
    """The configuration in a file; any mistake names the file and the place."""
    try:
        return from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; is this a run directory?") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def qualified_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def find_class(name: Any, place: str) -> type:
    """The dataclass of this package that is called `name`."""
    match = isinstance(name, str) and QUALIFIED_NAME.fullmatch(name)
    if not match:
        raise ConfigError(f"{place}: class: found {name!r}; expected hero_jax.….Name")
    module, class_name = match.groups()
    try:
        cls = getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError):
        raise ConfigError(f"{place}: class: there is no {name}") from None
    if not isinstance(cls, type) or qualified_name(cls) != name:
        raise ConfigError(f"{place}: class: {name} is not a class of its own module")
    if not dataclasses.is_dataclass(cls):
        raise ConfigError(f"{place}: class: {name} is not a configuration")
    return cls


def build(cls: type, values: dict[str, Any], place: str) -> Any:
    """`cls(**values)`, after a check of names and types."""
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for name in values:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.0)
            meant = f"did you mean {near[0]!r}?" if near else "it has no fields"
            raise ConfigError(f"{place}: {cls.__name__} has no field {name!r}; {meant}")
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        if not fits(value, hints[name]):
            raise ConfigError(
                f"{place}.{name}: found {value!r}, expected {_spelt(hints[name])}"
            )
    try:
        return cls(**values)
    except TypeError:
        missing = ", ".join(f for f in fields if f not in values)
        raise ConfigError(f"{place}: {cls.__name__} misses one of {missing}") from None


def fits(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON can be a field of this type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar):
        return True
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return type(value) in (int, float)
    if hint in (int, bool, str):
        return type(value) is hint
    if origin is typing.Literal:
        return value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and _items_fit(value, arguments)
    if origin is not None:
        return isinstance(value, origin)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _items_fit(values: tuple, hints: tuple) -> bool:
    if len(hints) == 2 and hints[1] is Ellipsis:
        return all(fits(value, hints[0]) for value in values)
    return len(values) == len(hints) and all(map(fits, values, hints))


def _key(key: Any, place: str) -> str:
    if not isinstance(key, str) or key == CLASS:
        raise ConfigError(f"{place}: {key!r} cannot be a key; use another text")
    return key


def _spelt(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
