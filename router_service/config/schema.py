"""The JSON Schema of the configuration file, for editors and for the reference."""

from __future__ import annotations

from typing import Any

from router_service.config.policy_shape import FileShape
from router_service.config.quantity import REFERENCE

AS_TEXT = "as text"
"""The comment of an alternative that is the same value as text."""

_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_WRITTEN = {
    "number": f"{_NUMBER}|{REFERENCE}",
    "integer": rf"^\s*-?\d+\s*$|{REFERENCE}",
    "boolean": rf"^(true|false|yes|no|on|off|[tfyn01])$|{REFERENCE}",
    "enum": REFERENCE,
}


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, with a description of every key."""
    described = FileShape.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **{key: _with_texts(value) for key, value in described.items()},
        "title": "llmrouter configuration",
    }


def _with_texts(part: Any) -> Any:
    if isinstance(part, list):
        return [_with_texts(one) for one in part]
    if not isinstance(part, dict):
        return part
    if "properties" in part:
        properties = {name: _with_texts(one) for name, one in part["properties"].items()}
        return {**part, "properties": properties}
    # From the environment every number, flag and name comes as text.
    if pattern := _WRITTEN.get("enum" if "enum" in part else str(part.get("type"))):
        about = {key: value for key, value in part.items() if key in ("title", "description", "default")}
        kind = {key: value for key, value in part.items() if key not in about}
        return {"anyOf": [kind, {"type": "string", "pattern": pattern, "$comment": AS_TEXT}], **about}
    return {key: value if key == "default" else _with_texts(value) for key, value in part.items()}
