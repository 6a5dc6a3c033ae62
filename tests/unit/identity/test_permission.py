"""Whatever is not granted is denied, and the denial names it."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.call import Caller
from router_service.domain.deployment import Deployment
from router_service.domain.error import PermissionDenied, Reason
from router_service.domain.identity import Grants, Identity, IdentityKind, Role
from router_service.identity.permission import check_model, permitted
from router_service.identity.store import grants_of_json, grants_to_json


def who(**grants: object) -> Identity:
    return Identity(
        tenant="acme",
        principal="rk_abc",
        kind=IdentityKind.API_KEY,
        name="billing",
        grants=Grants(**grants),  # type: ignore[arg-type]
    )


EVERYTHING = {"features": None, "models": None, "policies": None, "tiers": None}
GPT = Deployment(id="eu/gpt-4o", model="gpt-4o", provider="openai", upstream_name="gpt-4o")


@given(st.text())
def test_without_grants_nothing_is_allowed(name: str) -> None:
    nobody = who()
    assert not nobody.may_use_feature(name)
    assert not nobody.may_use_policy(name)
    assert not nobody.may_use_model(GPT)
    assert nobody.may_claim_tier(name) is (name == "")
    assert not nobody.may_administer(name)


@given(st.text(), st.frozensets(st.text()))
def test_exactly_what_is_granted_is_allowed(name: str, granted: frozenset[str]) -> None:
    some = who(features=granted, policies=granted, tiers=granted)
    assert some.may_use_feature(name) is (name in granted and name != "")
    assert some.may_use_policy(name) is (name in granted and name != "")
    assert some.may_claim_tier(name) is (name in granted or name == "")
    assert who(**EVERYTHING).may_use_feature(name)


@pytest.mark.parametrize(("models", "may"), [({"gpt-4o"}, True), ({"eu/gpt-4o"}, True), ({"us/gpt-4o", "gpt"}, False)])
def test_a_deployment_is_granted_under_its_name_or_its_models(models: set[str], may: bool) -> None:
    assert who(models=frozenset(models)).may_use_model(GPT) is may


def test_roles_are_for_all_tenants_or_the_own_one() -> None:
    admin, own = who(roles=frozenset({Role.ADMIN})), who(roles=frozenset({Role.TENANT_ADMIN}))
    assert admin.may_administer("acme")
    assert admin.may_administer("")
    assert own.may_administer("acme")
    assert not own.may_administer("globex")
    assert not own.may_administer("")


@pytest.mark.parametrize(
    ("caller", "policy", "denied"),
    [
        (Caller(feature="draft"), "default", {"feature": "draft"}),
        (Caller(), "default", {"feature": ""}),
        (Caller(feature="chat"), "secret", {"policy": "secret"}),
        (Caller(feature="chat", tier="pro"), "default", {"tier": "pro"}),
    ],
)
def test_a_denial_names_what_was_denied_and_what_is_allowed(
    caller: Caller, policy: str, denied: dict[str, str]
) -> None:
    some = who(
        features=frozenset({"chat"}), policies=frozenset({"default"}), tiers=frozenset({"free"}), default_tier="trial"
    )
    with pytest.raises(PermissionDenied) as raised:
        permitted(some, caller, policy)
    assert raised.value.reason is Reason.PERMISSION_DENIED
    assert raised.value.metadata == denied
    (kind, name), *_ = denied.items()
    assert (repr(name) if name else f"without a {kind}") in raised.value.message
    assert {"feature": "chat", "policy": "default", "tier": "free, trial"}[kind] in raised.value.message


def test_a_call_without_a_tier_gets_the_default_one() -> None:
    some = who(features=None, policies=None, default_tier="free")
    assert permitted(some, Caller(user="u"), "p") == Caller(user="u", tier="free")
    assert permitted(some, Caller(tier="free"), "p").tier == "free"


def test_a_model_is_denied_by_name() -> None:
    with pytest.raises(PermissionDenied, match=r"may not use the model 'eu/gpt-4o'\. It may use none yet") as raised:
        check_model(who(), GPT)
    assert raised.value.metadata == {"model": "eu/gpt-4o"}
    check_model(who(models=frozenset({"gpt-4o"})), GPT)


NAMES = st.none() | st.frozensets(st.sampled_from("abcd"))
GRANTS = st.builds(
    Grants,
    features=NAMES,
    models=NAMES,
    policies=NAMES,
    tiers=NAMES,
    default_tier=st.sampled_from(["", "a", "e"]),
    roles=st.frozensets(st.sampled_from(Role)),
    max_concurrent_calls=st.none() | st.integers(1, 3),
)


@given(GRANTS, GRANTS)
def test_nobody_hands_on_more_than_they_have(mine: Grants, theirs: Grants) -> None:
    if mine.covers(theirs):
        ours, other = who(**as_arguments(mine)), who(**as_arguments(theirs))
        for name in "abcdexyz":
            assert ours.may_use_feature(name) or not other.may_use_feature(name)
            assert ours.may_use_policy(name) or not other.may_use_policy(name)
            assert ours.may_claim_tier(name) or not other.may_claim_tier(name)
        for tenant in ("acme", "globex", ""):
            assert ours.may_administer(tenant) or not other.may_administer(tenant)
    assert mine.covers(mine)
    assert mine.covers(Grants(max_concurrent_calls=1))


def as_arguments(grants: Grants) -> dict[str, object]:
    return {field.name: getattr(grants, field.name) for field in fields(grants)}


@given(GRANTS)
def test_grants_survive_being_kept(grants: Grants) -> None:
    assert grants_of_json(grants_to_json(grants)) == grants


def test_what_is_not_known_grants_nothing() -> None:
    assert grants_of_json({"roles": ["emperor"], "everything": True}) == Grants()
