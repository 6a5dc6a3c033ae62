"""Which calls' texts are recorded, and what of them."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import Any

import pytest

from router_service.config.configuration import TextSettings
from router_service.domain.call import Call, Caller, ShadowOf
from router_service.domain.chance import chance
from router_service.domain.chat import Chat, ImagePart, Message, Role, TextPart
from router_service.ledger.records import TextRecord
from router_service.ledger.texts import TextRecorder

ANSWER = Message(role=Role.ASSISTANT, parts=(TextPart("Because."),))


def said(role: Role, text: str) -> Message:
    return Message(role=role, parts=(TextPart(text),))


def call(*messages: Message, feature: str = "chat") -> Call:
    return Call(request_id="r", tenant="acme", caller=Caller(feature=feature), chat=Chat(messages=messages))


def recorded(made: Call, answer: Message = ANSWER, operation_id: str = "op-1", **settings: Any) -> TextRecord | None:
    known: dict[str, Any] = {
        "prompts": True,
        "answers": True,
        "share": 1.0,
        "features": frozenset(),
        "retention": 10.0,
        "max_characters": 20,
    }
    recorder = TextRecorder(TextSettings(**{**known, **settings}))
    return recorder.record(made, answer, operation_id=operation_id, started_at=100.0)


def test_a_conversation_is_recorded_as_messages_without_images() -> None:
    seen = Message(role=Role.USER, parts=(TextPart("What is it?"), ImagePart(data=b"png")))
    found = recorded(call(said(Role.SYSTEM, "Brief."), seen))
    assert found == TextRecord(
        operation_id="op-1",
        started_us=100_000_000,
        expires_us=110_000_000,
        tenant="acme",
        feature="chat",
        prompt='[{"role":"system","content":"Brief."},{"role":"user","content":"What is it?"}]',
        answer="Because.",
    )


@pytest.mark.parametrize(("setting", "kept"), [("prompts", ("", "Because.")), ("answers", ("Why?", ""))])
def test_what_is_not_asked_for_is_not_recorded(setting: str, kept: tuple[str, str]) -> None:
    found = recorded(call(said(Role.USER, "Why?")), **{setting: False})
    assert found is not None
    prompt = json.loads(found.prompt)[0]["content"] if found.prompt else ""
    assert (prompt, found.answer) == kept


def test_other_features_are_left_alone() -> None:
    assert recorded(call(said(Role.USER, "Why?")), features=frozenset({"summary"})) is None
    assert recorded(call(said(Role.USER, "Why?")), features=frozenset({"chat"})) is not None


def test_of_a_long_conversation_the_last_messages_are_kept_whole() -> None:
    found = recorded(call(said(Role.USER, "a" * 15), said(Role.ASSISTANT, "b" * 9), said(Role.USER, "c" * 10)))
    assert found is not None
    assert [one["content"] for one in json.loads(found.prompt)] == ["b" * 9, "c" * 10]
    assert found.is_cut


def test_of_a_message_that_is_too_long_by_itself_the_beginning_is_kept() -> None:
    found = recorded(call(said(Role.USER, "a" * 15), said(Role.USER, "c" * 30)), said(Role.ASSISTANT, "d" * 21))
    assert found is not None
    assert [one["content"] for one in json.loads(found.prompt)] == ["c" * 20]
    assert (found.answer, found.is_cut) == ("d" * 20, True)


def test_text_that_is_none_can_still_be_written() -> None:
    found = recorded(call(said(Role.USER, "a\ud800b")), said(Role.ASSISTANT, "\udfff"))
    assert found is not None
    assert (json.loads(found.prompt)[0]["content"], found.answer) == ("a?b", "?")


def test_the_share_is_of_operations_and_the_same_in_every_process() -> None:
    assert chance("5f2b8c") == pytest.approx(0.5782, abs=1e-4)
    ids = [secrets.token_hex(12) for _ in range(4000)]
    assert sum(chance(one) < 0.1 for one in ids) == pytest.approx(400, abs=110)
    chosen = recorded(call(said(Role.USER, "Why?")), operation_id="5f2b8c", share=0.58)
    assert chosen is not None
    assert recorded(call(said(Role.USER, "Why?")), operation_id="5f2b8c", share=0.57) is None


def test_a_shadow_call_is_recorded_where_the_call_it_copies_is() -> None:
    made = call(said(Role.USER, "Why?"))
    parents = [secrets.token_hex(8) for _ in range(40)]
    of_parents = [recorded(made, operation_id=parent, share=0.5) is not None for parent in parents]
    of_shadows = [
        recorded(replace(made, shadow_of=ShadowOf(shadow="default/try", parent=parent)), share=0.5) is not None
        for parent in parents
    ]
    assert of_shadows == of_parents
    assert len(set(of_parents)) == 2
