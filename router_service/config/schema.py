"""The JSON Schema of the configuration file, for editors and for the reference."""

from __future__ import annotations

from typing import Any

from router_service.config.policy_shape import FileShape


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, with a description of every key."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **FileShape.model_json_schema(),
        "title": "llmrouter configuration",
    }
