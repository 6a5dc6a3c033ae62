"""What a request may hold at most, at whichever edge it comes in."""

from __future__ import annotations

import re
from collections.abc import Callable

from router_service.domain.call import Caller
from router_service.domain.chat import Role
from router_service.edge.violations import Violations

MAX_MESSAGES = 512
MAX_TOOLS = 128
MAX_PARTS = 256
MAX_TOOL_CALLS = 128
# Of all messages together: a small request may hold a hundred thousand, and reading them would stall everybody's calls.
MAX_PIECES = 4096
MAX_OUTPUT_TOKENS = 1_000_000
MAX_STOP = 4
MAX_ID = 256
MAX_URL = 8192
MAX_IMAGE_BYTES = 3 * 1024 * 1024
MAX_LABELS = 32
MAX_NAME = 128
MAX_LABEL_KEY = 64
MAX_LANGUAGE = 35
MAX_TOKEN = 16_384

IMAGE_TYPE = re.compile(r"image/[a-z0-9.+-]{1,64}")
_HTTPS_URL = re.compile(r"https://[^\s/?#\\]+\S*")


def is_image_url(url: str) -> bool:
    """Whether a provider may be sent this URL of a picture. One with spaces or line breaks is no URL, whatever a
    lenient provider would make of it."""
    return len(url) <= MAX_URL and url.isprintable() and _HTTPS_URL.fullmatch(url) is not None


def check_tool_call_id(path: str, role: Role, tool_call_id: str, violations: Violations) -> None:
    """Report a message's `tool_call_id` that is missing, unfit or out of place; `path` is the message's."""
    field = f"{path}.tool_call_id"
    if role is not Role.TOOL:
        violations.add(field, "belongs to tool messages only")
    elif not tool_call_id:
        violations.add(field, "must name the call that the tool message answers")
    violations.identifier(field, tool_call_id, MAX_ID)


def check_caller(caller: Caller, violations: Violations, place: Callable[[str], str]) -> None:
    """Report what is too long or not printable of what a caller says of itself; `place` says of a name, such as "user",
    which field of the request it came in.
    """
    identifier = violations.identifier
    identifier(place("feature"), caller.feature, MAX_NAME)
    identifier(place("tier"), caller.tier, MAX_NAME)
    identifier(place("task_type"), caller.task_type, MAX_NAME)
    identifier(place("user"), caller.user, MAX_ID)
    identifier(place("conversation_id"), caller.conversation_id, MAX_ID)
    identifier(place("language"), caller.language, MAX_LANGUAGE)
    identifier(place("complexity"), caller.complexity, MAX_NAME)
    for key, value in caller.labels.items():
        if not key:
            violations.add(place("labels"), "must not have an empty key")
        identifier(place("labels"), key, MAX_LABEL_KEY)
        identifier(place("labels"), value, MAX_ID)
