"""The error reference agrees with the API, the edges and what errors carry."""

from __future__ import annotations

import json
import re
from pathlib import Path

from llmrouter.v1 import error_pb2
from router_service.cli.error_reference import PROTO, _comments, reference
from router_service.domain.error import Reason
from router_service.domain.error_advice import ADVICE

ROOT = Path(__file__).parents[3]
COMMENTS = _comments(PROTO.read_text())


def test_the_committed_page_is_current() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == reference()


def test_every_reason_has_advice_a_comment_and_an_example_of_itself() -> None:
    known = {name.removeprefix("ERROR_REASON_") for name in error_pb2.ErrorReason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    assert known == set(Reason) == set(ADVICE) == set(COMMENTS) - {"UNSPECIFIED"}
    for reason in Reason:
        assert json.loads(COMMENTS[reason][1])["reason"] == reason


def test_examples_carry_no_metadata_that_the_advice_does_not_name() -> None:
    for reason in Reason:
        named = {*ADVICE[reason].metadata, "request_id"}
        keys = json.loads(COMMENTS[reason][1])["metadata"].keys()
        assert keys <= named or "<deployment>" in named, reason


def test_metadata_in_the_code_is_named_by_the_advice() -> None:
    named = {key for advice in ADVICE.values() for key in advice.metadata}
    source = "\n".join(file.read_text() for file in (ROOT / "router_service").rglob("*.py"))
    used = set(re.findall(r'metadata=\{"(\w+)":', source)) | set(re.findall(r'metadata\["(\w+)"\] = ', source))
    assert {"policy", "why", "http_status"} <= used
    # A shadow's refusal is the router's own business.
    assert used - named == {"request_id", "shadow"}
