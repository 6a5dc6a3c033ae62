"""Feedback over a real server: who may give it, where it is seen, and a router that is trained on it."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from click.testing import Result
from google.rpc import error_details_pb2
from running_router import ADMIN_KEY, Running, bearer, configured, detail, refused, running, with_keys
from typer.testing import CliRunner

from llmrouter import AsyncClient, Client, InvalidRequest
from llmrouter.v1 import feedback_pb2
from llmrouter.v1.router_service_pb2 import RecordFeedbackRequest
from router_service.cli.main import app

COMMENT = "canary-comment-5e11"
TEMPLATES = {
    "easy": ("Add {a} and {b}.", "What is {a} plus {b}?", "Sum up {a} and {b} for my shopping list."),
    "hard": (
        "A tank holds {a} litres and drains at {b} litres each hour; derive how much it lost after the first hour.",
        "Prove what remains of {a} when {b} is taken away, then state the sum of {a} and {b}.",
        "In a village of {a} liars and {b} knaves, deduce how many people there are in total.",
    ),
}


def with_ledger(folder: Path, **ledger: Any) -> dict[str, Any]:
    return configured(**with_keys(), ledger={"folder": str(folder / "ledger"), **ledger})


async def command(*arguments: object) -> Result:
    """A command of the terminal, beside the router that runs in this loop."""
    return await asyncio.to_thread(CliRunner().invoke, app, [str(one) for one in arguments])


def up(request_id: str) -> RecordFeedbackRequest:
    return RecordFeedbackRequest(request_id=request_id, feedback=feedback_pb2.Feedback(thumbs=feedback_pb2.THUMBS_UP))


async def rows(router: Running, columns: str) -> list[tuple[Any, ...]]:
    database = router.application._state._database
    assert database is not None
    return await database.fetch(f"SELECT {columns} FROM ledger_feedback ORDER BY author, source")  # noqa: S608


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_feedback_is_kept_shown_by_usage_and_told_to_nobody_else(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(tmp_path, with_ledger(tmp_path)) as router:
        _, key = await router.new_key()
        address = f"127.0.0.1:{router.port}"
        async with AsyncClient.connect(address, api_key=key) as client:
            request_id = (await client.complete("Hello", feature="chat")).receipt.request_id
            with Client.connect(address, api_key=key) as in_threads:

                async def give(**said: Any) -> Any:
                    if kind == "async":
                        return await client.record_feedback(request_id, **said)
                    return await asyncio.to_thread(in_threads.record_feedback, request_id, **said)

                # Before the call itself is in the database: this process knows it.
                judged = await give(thumbs="down", author="ann", label="slow", comment=COMMENT)
                assert (judged.model, judged.deployment) == ("gpt-4o", "gpt-4o")
                await give(thumbs="up", author="ann", comment=COMMENT)
                await give(score=0.5, source="reviewer")
                with pytest.raises(InvalidRequest) as caught:
                    await give(score=1.5)
                assert [violation.field for violation in caught.value.violations] == ["feedback.score"]
                with pytest.raises(ValueError, match="no thumbs 'sideways': it is one of up, down"):
                    await give(thumbs="sideways")
                with pytest.raises(TypeError, match="did you mean 'thumbs'"):
                    await give(thumb="up")
        await router.shipped()
        assert await rows(router, "author, source, score, thumbs, label, comment") == [
            ("", "reviewer", 0.5, "", "", ""),
            ("ann", "user", None, "up", "", COMMENT),
        ]
        total = (await router.usage()).total
        assert (total.calls, total.feedbacks, total.mean_score, total.thumbs_up, total.thumbs_down) == (1, 2, 0.5, 1, 0)
        database = f"sqlite:///{tmp_path / 'router.db'}"
        shown = await command("usage", "--database", database, "--by", "model")
        assert "100% of 1" in shown.output
        assert "0.50" in shown.output
        [told] = [
            json.loads(line)
            for line in (await command("usage", "--database", database, "--json")).output.split("\n")
            if line
        ]
        assert (told["feedbacks"], told["mean_score"], told["thumbs_up_share"]) == (2, 0.5, 1.0)
    assert COMMENT not in caplog.text
    assert router.spans.spans
    assert COMMENT not in "".join(span.to_json() for span in router.spans.spans)


async def test_feedback_is_of_ones_own_calls_and_features_and_other_processes_calls_are_found(tmp_path: Path) -> None:
    configuration = with_ledger(tmp_path)
    async with running(tmp_path, configuration) as router:
        _, key = await router.new_key(tenant="acme")
        await router.client(key).complete("Hello", feature="chat", request_id="call-1")
    async with running(tmp_path, configuration) as router:
        theirs = (await router.new_key(tenant="globex"))[1]
        unknown = await refused(router.stub.RecordFeedback(up("call-2"), metadata=bearer(key)))
        foreign = await refused(router.stub.RecordFeedback(up("call-1"), metadata=bearer(theirs)))
        for code, reason, status in (unknown, foreign):
            assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "RECEIPT_NOT_FOUND")
            assert "a second or so after its end" in status.message
            assert detail(status, error_details_pb2.RetryInfo).retry_delay.seconds == 2
        assert unknown[2].message == foreign[2].message
        nobody = await refused(router.stub.RecordFeedback(up("call-1")))
        assert nobody[0] is grpc.StatusCode.UNAUTHENTICATED

        _, summaries = await router.new_key(tenant="acme", features=["summary"])
        denied = await refused(router.stub.RecordFeedback(up("call-1"), metadata=bearer(summaries)))
        assert denied[:2] == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert await rows(router, "operation_id") == []
        # A key that may judge chats and call nothing.
        public_id, judge = await router.new_key(tenant="acme", features=["chat"])
        answer = await router.stub.RecordFeedback(up("call-1"), metadata=bearer(judge))
        assert answer.model == "gpt-4o"
        assert await rows(router, "request_id, tenant, key_id") == [("call-1", "acme", public_id)]
        admin = await refused(router.stub.RecordFeedback(up("call-1"), metadata=bearer(ADMIN_KEY)))
        assert admin[0] is grpc.StatusCode.NOT_FOUND


async def test_a_call_that_failed_can_be_judged_too(tmp_path: Path) -> None:
    async with running(tmp_path, with_ledger(tmp_path)) as router:
        _, key = await router.new_key()
        for model in ("gpt-4o", "deepseek-chat"):
            router.simulator.fail(model, "503", times=None)
        client = router.client(key)
        with pytest.raises(Exception, match="failed"):
            await client.complete("Hello", request_id="failed")
        assert (await client.record_feedback("failed", label="unhelpful")).model == ""


async def test_without_a_ledger_feedback_says_what_to_configure(tmp_path: Path) -> None:
    async with running(tmp_path) as router:
        await router.client().complete("Hello", request_id="call-1")
        for request_id in ("call-1", "unknown"):
            code, reason, status = await refused(router.stub.RecordFeedback(up(request_id)))
            assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_CONFIGURED")
            assert "`ledger`" in status.message


async def test_the_command_gives_feedback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, with_ledger(tmp_path)) as router:
        _, key = await router.new_key()
        monkeypatch.setenv("LLMROUTER_API_KEY", key)
        await router.client(key).complete("Hello", request_id="call-1")
        address = ("--address", f"127.0.0.1:{router.port}")
        said = ("--thumbs", "up", "--score", 0.8, "--label", "fine", "--comment", "Short.", "--author", "ann")
        given = await command("feedback", "call-1", *said, "--source", "reviewer", *address)
        assert (given.exit_code, given.output) == (0, "kept: feedback on gpt-4o\n")
        assert await rows(router, "source, author, score, thumbs, label, comment") == [
            ("reviewer", "ann", 0.8, "up", "fine", "Short.")
        ]
        missing = await command("feedback", "call-2", "--thumbs", "down", *address)
        assert missing.exit_code == 1
        assert "RECEIPT_NOT_FOUND" in missing.output
        assert "Try again in 2.0 s." in missing.output
        empty = await command("feedback", "call-1", *address)
        assert (empty.exit_code, empty.output) == (2, "Give --thumbs, --score, --label or --comment.\n")


async def test_texts_are_recorded_where_they_are_asked_for_and_erased_by_tenant(tmp_path: Path) -> None:
    texts = {"prompts": True, "answers": True, "features": ["chat"]}
    async with running(tmp_path, with_ledger(tmp_path, texts=texts)) as router:
        _, key = await router.new_key()
        client = router.client(key)
        answer = await client.complete("Why is the sky blue?", feature="chat")
        await client.complete("How are you?", feature="other")
        async with client.stream("Who are you?", feature="chat") as stream:
            streamed = "".join([piece async for piece in stream.text()])
        await router.shipped()
        database = router.application._state._database
        assert database is not None
        found = await database.fetch("SELECT tenant, prompt, answer FROM ledger_texts ORDER BY started_us")
        assert found == [
            ("acme", '[{"role":"user","content":"Why is the sky blue?"}]', answer.text),
            ("acme", '[{"role":"user","content":"Who are you?"}]', streamed),
        ]
        url = f"sqlite:///{tmp_path / 'router.db'}"
        erased = await command("texts", "erase", "--tenant", "acme", "--database", url)
        assert erased.output == "erased of acme: the texts of 2 calls and 0 comments\n"
        assert await database.fetch("SELECT 1 FROM ledger_texts") == []
        [audited] = await database.fetch("SELECT actor, subject FROM audit_log WHERE action = 'texts.erase'")
        assert audited == ("cli", "acme")


def draw_prompts(draw: random.Random, kind: str, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw.choice(TEMPLATES[kind]).format(a=draw.randint(2, 90), b=draw.randint(2, 90))] = None
    return list(found)


async def test_a_policy_routes_by_what_was_learned_from_recorded_feedback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each prompt is answered by one model only; the cheap one's answers to hard prompts are disliked."""
    draw = random.Random(11)
    configuration = configured(
        ledger={"folder": "ledger", "texts": {"prompts": True}},
        policies={"default": {"rules": [{"use": "deepseek-chat"}]}},
    )
    async with running(tmp_path, configuration) as router:
        monkeypatch.setenv("SIMULATOR_URL", router.environ["SIMULATOR_URL"])
        client = router.client()

        async def ask(prompt: str, model: str, chance: float) -> None:
            answer = await client.complete(prompt, model=model, max_output_tokens=8)
            liked = chance < (0.15 if prompt in hard and model == "deepseek-chat" else 0.95)
            await client.record_feedback(answer.receipt.request_id, thumbs="up" if liked else "down")

        hard, easy = (draw_prompts(draw, kind, 130) for kind in ("hard", "easy"))
        asked = [ask(prompt, draw.choice(["gpt-4o", "deepseek-chat"]), draw.random()) for prompt in [*hard, *easy]]
        for start in range(0, len(asked), 20):
            await asyncio.gather(*asked[start : start + 20])
        await router.shipped()

        learning = ("--recorded", "--config", router.file, "--weak", "deepseek-chat", "--strong", "gpt-4o")
        trained = await command("train", *learning, "--out", tmp_path / "own.json")
        assert trained.exit_code == 0, trained.output
        assert "feedback on 260 calls, 260 of them with a known prompt: 260 different prompts" in trained.output
        assert "different kinds of prompts" not in trained.output
        assert "no promise: of the prompts held out both models' answers were judged in 0" in trained.output
        few = await command("train", *learning, "--feature", "chat")
        assert (few.exit_code, few.output) == (
            1,
            "The ledger holds no feedback with a score or thumbs on a call since 30d.\n",
        )
        unpaired = await command("calibrate", *learning)
        assert unpaired.exit_code == 1
        assert "Nothing can be promised: 0 prompts have feedback on deepseek-chat's and on gpt-4o's" in unpaired.output
        both = await command("train", tmp_path / "results.jsonl", "--recorded")
        assert both.exit_code == 2

        rules = [{"when": {"complexity": "complex"}, "use": "gpt-4o"}, {"use": "deepseek-chat"}]
        classifier = {"use": "own.json", "moderate_from": 0.5, "complex_from": 0.5}
        policies = {"default": {"classifier": classifier, "rules": rules}}
        router.file.write_text(yaml.safe_dump({**configuration, "policies": policies}))
        assert await router.application.reload() is None
        served = {
            kind: [(await client.complete(prompt, max_output_tokens=8)).receipt.model for prompt in prompts]
            for kind in TEMPLATES
            if (prompts := draw_prompts(draw, kind, 10))
        }
    assert served["hard"].count("gpt-4o") >= 9
    assert served["easy"].count("deepseek-chat") >= 9
