"""Configurations as JSON and back: frozen dataclasses by qualified name.

    {"class": "hero_jax.train.TrainConfig", "steps": 1000, "tasks": {...}, ...}

Reading builds only dataclasses of this package, so that a file cannot name code to run.
Paths beside the file's folder are kept relative to it: a run moves with its data.
"""

import collections.abc
import dataclasses
import difflib
import importlib
import json
import os
import re
import types
import typing
from pathlib import Path
from typing import Any

from data_pipelines.files import write_whole
from hero_jax.errors import UserError

CLASS = "class"
"""The key that names a dataclass."""

QUALIFIED_NAME = re.compile(r"(hero_jax(?:\.[a-z][a-z0-9_]*)+)\.([A-Z]\w*)")


class ConfigError(UserError):
    """Names the place inside the configuration."""


def to_json(value: Any, place: str = "config", *, folder: Path | None = None) -> Any:
    """`value` in JSON's own types; tuples become lists, dataclasses objects.

    `folder` is the one the file will stand in; without it all paths are absolute.
    """
    inner = lambda value, name: to_json(value, f"{place}{name}", folder=folder)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: inner(getattr(value, field.name), f".{field.name}")
            for field in dataclasses.fields(value)
        }
        return {CLASS: qualified_name(type(value))} | fields
    if isinstance(value, tuple):
        return [inner(item, f"[{i}]") for i, item in enumerate(value)]
    if isinstance(value, collections.abc.Mapping):
        return {_key(key, place): inner(value[key], f".{key}") for key in value}
    if isinstance(value, Path):
        return _path_text(value, folder)
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ConfigError(
        f"{place}: found a {type(value).__name__}; a configuration holds numbers, "
        f"texts, paths, tuples, mappings and dataclasses"
    )


def from_json(value: Any, place: str = "config", *, folder: Path = Path()) -> Any:
    """What `to_json` was given; lists become tuples."""
    inner = lambda value, name: from_json(value, f"{place}{name}", folder=folder)
    if isinstance(value, list):
        return tuple(inner(item, f"[{i}]") for i, item in enumerate(value))
    if not isinstance(value, dict):
        return value
    fields = {key: inner(value[key], f".{key}") for key in value if key != CLASS}
    if CLASS not in value:
        return fields
    return build(find_class(value[CLASS], place), fields, place, folder)


def save(value: Any, path: Path) -> None:
    """Replaces the file in one step."""
    content = to_json(value, folder=path.parent.absolute())
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def load(path: Path) -> Any:
    """The configuration in a file; any mistake names the file and the place."""
    try:
        return from_json(json.loads(path.read_text("utf-8")), folder=path.parent)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; is this a run directory?") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give it back") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _path_text(path: Path, folder: Path | None) -> str:
    """Relative to `folder` where both have one parent, which may move as a whole."""
    path = path.absolute()
    if folder is None or not path.is_relative_to(folder.parent):
        return str(path)
    return Path(os.path.relpath(path, folder)).as_posix()


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


def build(cls: type, values: dict[str, Any], place: str, folder: Path) -> Any:
    """`cls(**values)`, after a check of names and types; paths start at `folder`."""
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
        if value is not None and hints[name] in (Path, Path | None):
            values[name] = Path(os.path.normpath(folder.absolute() / value))
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
    if hint is Path:
        return isinstance(value, str)
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
