"""Does a document satisfy report.schema.json? Knows the keywords that file uses, so that no validator is needed."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA_FILE = Path(__file__).with_name("report.schema.json")

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "integer": lambda v: (isinstance(v, int) and not isinstance(v, bool)) or (isinstance(v, float) and v.is_integer()),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}


@cache
def load() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of report.json."""
    schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


def violation(document: Any) -> str | None:
    """The first thing that is wrong with the document, with its place in it; None when it satisfies the schema."""
    return _violation(document, load(), "")


def _violation(value: Any, rule: dict[str, Any], where: str) -> str | None:
    if "$ref" in rule:
        return _violation(value, load()["$defs"][rule["$ref"].removeprefix("#/$defs/")], where)
    if "anyOf" in rule:
        problems = [_violation(value, option, where) for option in rule["anyOf"]]
        return None if None in problems else problems[-1]
    expected = _mismatch(value, rule)
    if expected is not None:
        return f"{where or 'the document'} is {_shown(value)}, not {expected}"
    if isinstance(value, dict):
        return _object_violation(value, rule, where)
    if isinstance(value, list) and "items" in rule:
        problems = [_violation(item, rule["items"], f"{where}[{index}]") for index, item in enumerate(value)]
        return next((problem for problem in problems if problem is not None), None)
    return None


def _mismatch(value: Any, rule: dict[str, Any]) -> str | None:
    """What the rule wants instead of this value, its members aside; None when it is content."""
    allowed = rule.get("enum", [rule["const"]] if "const" in rule else None)
    kinds = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", [])
    expected = None
    if allowed is not None and not (isinstance(value, str) and value in allowed):
        expected = " or ".join(allowed)
    elif kinds and not any(_TYPES[kind](value) for kind in kinds):
        expected = " or ".join(kinds)
    elif isinstance(value, str) and not re.search(rule.get("pattern", ""), value):
        expected = f"of the form {rule['pattern']}"
    elif _TYPES["number"](value) and value < rule.get("minimum", value):
        expected = f"{rule['minimum']} or more"
    return expected


def _object_violation(value: dict[str, Any], rule: dict[str, Any], where: str) -> str | None:
    known = rule.get("properties", {})
    for key in rule.get("required", []):
        if key not in value:
            return f"{where + ' has no' if where else 'there is no'} {key!r}"
    for key, item in value.items():
        if key not in known:
            return f"{where + ' has' if where else 'there is'} an unknown entry {_shown(key)}"
        problem = _violation(item, known[key], f"{where}.{key}" if where else key)
        if problem is not None:
            return problem
    return None


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:37] + "..."
