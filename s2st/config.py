"""Recipes: YAML sections, key=value overrides, and strict building of frozen dataclasses from them."""

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

Config = TypeVar("Config")


class UserError(ValueError):
    """A mistake that the person at the terminal can mend: one sentence that says what, where and what to do."""


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML recipe and apply `section.key=value` (or `key=value`) overrides; values are YAML."""
    try:
        recipe = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read recipe {path}: {error.strerror}; the recipes are in recipes/") from None
    except yaml.YAMLError as error:
        raise UserError(f"recipe {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(recipe, dict):
        raise UserError(f"recipe {path} must be a mapping of sections, for example 'manifest: {{...}}'")
    recipe = _unshared(recipe)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise UserError(f"'{override}' is not an override; write section.key=value")
        _set(recipe, key.split("."), _parse_value(override, value))
    return recipe


def _unshared(value: Any) -> Any:
    """Copy each use of a YAML anchor, so that an override changes one section and not all that share it."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _parse_value(override: str, value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"the value of '{override}' is not valid YAML; quote it") from None


def _set(recipe: dict[str, Any], keys: list[str], value: Any) -> None:
    node: Any = recipe
    for depth, key in enumerate(keys[:-1]):
        if not isinstance(node.get(key), dict):
            if depth == 0:  # a section that is not there is a typing mistake, a nested mapping may be new
                raise UserError(f"override {'.'.join(keys)}: {unknown('section', key, node)}")
            node[key] = {}
        node = node[key]
    node[keys[-1]] = value


def build(kind: type[Config], mapping: Mapping[str, Any], where: str) -> Config:
    """Make the frozen dataclass `kind` from `mapping`; unknown keys and wrong types raise UserError."""
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    for key in mapping:
        if key not in fields:
            raise UserError(f"{where}: {unknown('setting', str(key), fields)}")
    values = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in mapping.items()}
    missing = [name for name, field in fields.items() if name not in values and _is_required(field)]
    if missing:
        raise UserError(f"{where}: the setting '{missing[0]}' is missing; give it a value in the recipe")
    try:
        return kind(**values)
    except UserError:
        raise
    except ValueError as error:  # from __post_init__: contradictions between fields
        raise UserError(f"{where}: {error}") from None


def to_mapping(config: Any) -> dict[str, Any]:
    """Turn a config dataclass into plain JSON values; `build` reverses it."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def unknown(what: str, key: str, known: Collection[str]) -> str:
    """Say that a name is unknown, and which one may be meant."""
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return f"unknown {what} '{key}'; {hint}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check `value` against the type `hint`, turning lists into tuples and mappings into dataclasses."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [option for option in arguments if option is not type(None)]
        return _convert(options[0], value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise UserError(f"{where}: '{value}' is not one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{where} must be a list, found {value!r}; write [a, b]")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            arguments = (arguments[0],) * len(value)
        if len(arguments) != len(value):
            raise UserError(f"{where} must have {len(arguments)} values, found {len(value)}")
        pairs = zip(arguments, value, strict=True)
        return tuple(_convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(pairs))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{where} must be a mapping, found {value!r}")
        return {str(key): _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if not isinstance(value, Mapping):
            raise UserError(f"{where} must be a mapping of settings, found {value!r}")
        return build(hint, value, where)
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:  # YAML reads 1e-3 as text
            return float(value)
        except ValueError:
            pass
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is not bool and isinstance(value, bool)):
        return value
    raise UserError(f"{where} must be {getattr(hint, '__name__', hint)}, found {value!r}")
