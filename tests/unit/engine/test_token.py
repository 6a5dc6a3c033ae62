"""Decision tokens: fresh, genuine, and for the same request."""

from dataclasses import replace

import pytest

from router_service.domain.call import Call, Caller, Wishes
from router_service.domain.chat import Chat, Message, Parameters, Role, TextPart
from router_service.domain.decision import Candidate, ComplexitySource, Decision, Signals, TokenLimit
from router_service.domain.deployment import Deployment
from router_service.domain.error import InvalidDecisionToken, Reason
from router_service.domain.policy import Policy
from router_service.engine.token import TokenSigner

CALL = Call(
    request_id="r",
    tenant="acme",
    caller=Caller(feature="chat", labels={"a": "1", "b": "2"}),
    chat=Chat(messages=(Message(role=Role.USER, parts=(TextPart("Hi"),)),)),
)


def decision(*ids):
    limit = TokenLimit(requested=None, applied=None, reason="none")
    return Decision(
        policy=Policy(name="p", rules=()),
        rule=None,
        strategy="order",
        candidates=tuple(
            Candidate(
                deployment=Deployment(id=name, model=name, provider="x", upstream_name=name),
                token_limit=limit,
                estimated_cost=None,
            )
            for name in ids
        ),
        rejections=(),
        signals=Signals(
            input_tokens=1,
            language="",
            complexity="simple",
            complexity_source=ComplexitySource.HEURISTIC,
            complexity_score=0.0,
            turns=1,
            needs=frozenset(),
        ),
        parameters=Parameters(),
        cause="",
        fingerprint="f1",
    )


class WallClock:
    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return WallClock()


@pytest.fixture
def signer(clock):
    return TokenSigner(lambda: "k" * 32, 60.0, clock)


def with_token(call, token):
    return replace(call, wishes=replace(call.wishes, decision_token=token))


def test_a_token_gives_back_the_order_it_was_made_for(signer):
    token, expires_at = signer.sign(CALL, decision("b", "a"))
    assert expires_at == 1_060.0
    assert signer.redeem(with_token(CALL, token), "f1").deployments == ("b", "a")


def test_the_order_of_labels_does_not_matter(signer):
    token, _ = signer.sign(CALL, decision("a"))
    other = replace(CALL, caller=replace(CALL.caller, labels={"b": "2", "a": "1"}))
    assert signer.redeem(with_token(other, token), "f1").deployments == ("a",)


def test_replicas_that_share_the_key_redeem_each_others_tokens(signer, clock):
    token, _ = signer.sign(CALL, decision("a"))
    assert TokenSigner(lambda: "k" * 32, 60.0, clock).redeem(with_token(CALL, token), "f1").deployments == ("a",)


@pytest.mark.parametrize(
    "change",
    [
        lambda call: replace(call, tenant="other"),
        lambda call: replace(call, caller=replace(call.caller, tier="pro")),
        lambda call: replace(call, chat=Chat(messages=(Message(role=Role.USER, parts=(TextPart("Bye"),)),))),
        lambda call: replace(call, wishes=Wishes(policy="other")),
    ],
    ids=["tenant", "caller", "chat", "policy"],
)
def test_a_token_for_another_request_is_refused(signer, change):
    token, _ = signer.sign(CALL, decision("a"))
    with pytest.raises(InvalidDecisionToken) as raised:
        signer.redeem(with_token(change(CALL), token), "f1")
    assert raised.value.reason is Reason.DECISION_TOKEN_INVALID


def test_an_old_token_is_refused_as_expired(signer, clock):
    token, _ = signer.sign(CALL, decision("a"))
    clock.now += 61
    with pytest.raises(InvalidDecisionToken) as raised:
        signer.redeem(with_token(CALL, token), "f1")
    assert raised.value.reason is Reason.DECISION_TOKEN_EXPIRED


def test_a_changed_configuration_expires_tokens(signer):
    token, _ = signer.sign(CALL, decision("a"))
    with pytest.raises(InvalidDecisionToken) as raised:
        signer.redeem(with_token(CALL, token), "f2")
    assert raised.value.reason is Reason.DECISION_TOKEN_EXPIRED


@pytest.mark.parametrize("position", [0, 20, -1])
def test_a_changed_character_breaks_the_token(signer, position):
    token, _ = signer.sign(CALL, decision("a"))
    at = position % len(token)
    damaged = token[:at] + ("A" if token[at] != "A" else "Q") + token[at + 1 :]
    with pytest.raises(InvalidDecisionToken):
        signer.redeem(with_token(CALL, damaged), "f1")


@pytest.mark.parametrize("junk", ["x", ".", "a.b.c", "é", "====", "{}.{}"])
def test_junk_is_refused_without_a_crash(signer, junk):
    with pytest.raises(InvalidDecisionToken):
        signer.redeem(with_token(CALL, junk), "f1")
