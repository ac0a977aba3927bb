"""Edits by dotted path, and validation errors as one clear line."""

from __future__ import annotations

import contextlib
import copy
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from equipoise.errors import RecipeError, nearest


def edited(
    values: Mapping[str, Any], changes: Mapping[str, Any], model: type[BaseModel]
) -> dict[str, Any]:
    """A copy of nested `values` with each dotted path of `changes` set.

    Raises:
        RecipeError: a path that names no field; the nearest field is suggested.
    """
    result = copy.deepcopy(dict(values))
    for path, value in changes.items():
        _set(result, path, value, model)
    return result


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid over it, mapping by mapping."""
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merged(old, value)
        result[key] = value
    return result


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The edit by dotted path that turns nested `old` into `new`; keys only in `old` are left."""
    changes: dict[str, Any] = {}
    for key, value in new.items():
        path = f"{prefix}{key}"
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            changes |= difference(before, value, f"{path}.")
        elif value != before or key not in old:
            changes[path] = value
    return changes


def _set(values: dict[str, Any], path: str, value: Any, model: type[BaseModel]) -> None:
    *parents, last = path.split(".")
    node: Any = values
    kind: Any = model
    for parent in parents:
        kind = _field(kind, parent, path)
        node = _within(node, parent, kind)
        if not isinstance(node, dict):
            raise RecipeError(
                f"cannot set {path!r} = {value!r}: {parent!r} is a single value and has no fields;"
                " set it whole, or check the path"
            )
    _field(kind, last, path)
    node[last] = copy.deepcopy(value)


def _within(node: Any, parent: str, kind: Any) -> Any:
    """The mapping at `parent`: made where there is none, and from a name that stands for a part."""
    if not isinstance(node, dict):
        return None
    found = node.get(parent)
    if isinstance(kind, type) and issubclass(kind, BaseModel) and not isinstance(found, dict):
        named = isinstance(found, str) and "name" in kind.model_fields
        if found is None or named:
            node[parent] = {"name": found} if named else {}
    return node.setdefault(parent, {})


def _field(kind: Any, name: str, path: str) -> Any:
    """The type of field `name` in a model, or of the values in a mapping; None for a leaf."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return _values_of(kind)
    if name not in kind.model_fields:
        raise RecipeError(_unknown_key(path, name, kind))
    return _model_in(kind.model_fields[name].annotation)


def _model_in(annotation: Any) -> Any:
    """The model class inside an annotation such as `Model | None`, else the annotation itself."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        models = [a for a in typing.get_args(annotation) if isinstance(a, type)]
        return next((m for m in models if issubclass(m, BaseModel)), annotation)
    return annotation


def _values_of(annotation: Any) -> Any:
    arguments = typing.get_args(annotation)
    return arguments[1] if len(arguments) == 2 else None


def _unknown_key(path: str, name: str, kind: type[BaseModel]) -> str:
    guess = nearest(name, kind.model_fields)
    hint = f"; did you mean {guess!r}?" if guess else ""
    where = f"unknown key {path!r}" if path == name else f"unknown key {name!r} in {path!r}"
    return f"{where}{hint} (fields here: {', '.join(kind.model_fields)})"


@contextlib.contextmanager
def refusing(model: type[BaseModel], fields: Mapping[str, Any]) -> Iterator[None]:
    """Turn pydantic's report into one `RecipeError` that names path, value and rule."""
    try:
        yield
    except ValidationError as error:
        lines = [_line(dict(e), model) for e in error.errors()]
        name = fields.get("name")
        prefix = f"recipe {name!r}: " if isinstance(name, str) else "recipe: "
        raise RecipeError(prefix + "; ".join(lines)) from None


def _line(error: dict[str, Any], model: type[BaseModel]) -> str:
    location = [str(part) for part in error["loc"]]
    path = ".".join(location)
    if error["type"] == "extra_forbidden":
        return _unknown_key(path, location[-1], _owner(model, location[:-1]))
    if error["type"] == "missing":
        return f"{path!r} is missing; set it"
    return f"{path} = {error['input']!r}: {_rule(error)}"


def _owner(model: type[BaseModel], location: list[str]) -> type[BaseModel]:
    kind: Any = model
    for part in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
            kind = _model_in(kind.model_fields[part].annotation)
        else:
            kind = _values_of(kind) or kind
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else model


def _rule(error: dict[str, Any]) -> str:
    message = str(error["msg"])
    return message[0].lower() + message[1:].replace("Input should", "should")
