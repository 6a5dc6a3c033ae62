"""Tokens are believed only from a trusted issuer, for this service, in their time, signed as allowed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import issuer
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identity_values import Time, authenticator, bearer, spiffe_settings
from issuer import AUDIENCE, ISSUER, KEYS, NOW, issuer_settings, token, written
from jwt.warnings import InsecureKeyLengthWarning

from router_service.config.identity import Algorithm, ClaimNames, IdentitySettings
from router_service.domain.error import StateUnavailable, Unauthenticated
from router_service.domain.identity import Grants, Identity, IdentityKind, Role


@pytest.fixture
def trusted(tmp_path: Path) -> IdentitySettings:
    return issuer_settings(written(tmp_path))


async def identity(trusted: IdentitySettings, text: str, time: Time | None = None) -> Identity:
    return await authenticator(trusted, time=time).authenticate(bearer(text))


async def refused(trusted: IdentitySettings, text: str, time: Time | None = None) -> str:
    with pytest.raises(Unauthenticated) as raised:
        await identity(trusted, text, time)
    return raised.value.message


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "ES256", "EdDSA"])
async def test_a_good_token_says_who_calls(trusted: IdentitySettings, algorithm: str) -> None:
    assert await identity(trusted, token(algorithm)) == Identity(
        tenant="acme",
        principal="jwt:corp:alice",
        kind=IdentityKind.JWT,
        name="alice",
        grants=Grants(features=frozenset({"chat"}), policies=None),
    )


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"exp": NOW - 31}, "has expired"),
        ({"nbf": NOW + 31}, "is not valid yet"),
        ({"exp": None}, "lacks the claim exp"),
        ({"exp": "soon"}, "is no number"),
        ({"exp": True}, "is no number"),
        ({"exp": float("nan")}, "has expired"),
        ({"nbf": float("nan")}, "is not valid yet"),
        ({"aud": "another service"}, "is for another service"),
        ({"aud": None}, "lacks the claim aud"),
        ({"aud": []}, "lacks the claim aud"),
        ({"iss": "https://evil.example"}, "not trusted here"),
        ({"iss": ISSUER + "/"}, "not trusted here"),
        ({"iss": None}, "not trusted here"),
        ({"sub": None}, "lacks the claim sub"),
        ({"sub": ""}, "subject that cannot be used"),
        ({"sub": "a\nb"}, "subject that cannot be used"),
        ({"sub": "x" * 257}, "subject that cannot be used"),
        ({"headers": {"kid": "unknown"}}, "signed with a key that its issuer does not have"),
        ({"headers": {"kid": "rsa"}}, "signed with a key that its issuer does not have"),
        ({"key": issuer.STRANGERS_KEY}, "is not valid"),
    ],
)
async def test_a_token_with_a_flaw_is_refused_by_its_name(
    trusted: IdentitySettings, wrong: dict[str, Any], why: str
) -> None:
    text = token(**wrong)
    message = await refused(trusted, text)
    assert why in message
    assert text not in message


async def test_clocks_may_differ_by_the_leeway(trusted: IdentitySettings) -> None:
    for flaw in ({"exp": NOW - 29}, {"nbf": NOW + 29}):
        await identity(trusted, token(**flaw))


async def test_one_of_several_audiences_is_enough(trusted: IdentitySettings) -> None:
    await identity(trusted, token(aud=["other", AUDIENCE]))


def forged(header: dict[str, Any], sign: bytes | None) -> str:
    """A token put together by hand: unsigned, or signed with HMAC under these bytes."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, issuer.claims())]
    signed = b".".join(parts)
    signature = (
        b"" if sign is None else base64.urlsafe_b64encode(hmac.digest(sign, signed, hashlib.sha256)).rstrip(b"=")
    )
    return (signed + b"." + signature).decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "HS256", "HS512", "", "ES256K", "RS1"])
async def test_an_algorithm_that_is_not_allowed_is_refused(trusted: IdentitySettings, algorithm: str) -> None:
    public = issuer.RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for sign in (None, b"", public, json.dumps(KEYS[0]).encode()):
        text = forged({"alg": algorithm, "typ": "JWT", "kid": "rsa"}, sign)
        assert "signed in a way that is not allowed" in await refused(trusted, text)


async def test_only_the_configured_algorithms_are_allowed(tmp_path: Path) -> None:
    only = issuer_settings(written(tmp_path), algorithms=(Algorithm.EDDSA,))
    await identity(only, token("EdDSA"))
    assert "not allowed" in await refused(only, token("RS256"))


async def test_a_key_that_the_token_brings_is_not_used(trusted: IdentitySettings) -> None:
    own = issuer.jwk(issuer.STRANGERS_KEY, "ec")
    for more in ({"jwk": own}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example"}):
        await refused(trusted, token(key=issuer.STRANGERS_KEY, headers={"kid": "ec", **more}))


@pytest.mark.parametrize(
    "keys",
    [
        [{"kty": "oct", "k": "c2VjcmV0", "kid": "ec"}],
        [issuer.jwk(issuer.EC_KEY, "ec", use="enc")],
        [issuer.jwk(issuer.EC_KEY, "ec", alg="ES384")],
        [issuer.jwk(issuer.EC_KEY, "ec"), issuer.jwk(issuer.STRANGERS_KEY, "ec")],
        [{"kty": "EC", "kid": "ec", "crv": "P-256", "x": "!", "y": 7}],
        [],
    ],
    ids=["secret", "for encryption", "for another algorithm", "ambiguous", "broken", "none"],
)
async def test_an_unsuitable_key_verifies_nothing(tmp_path: Path, keys: list[dict[str, Any]]) -> None:
    with pytest.raises((Unauthenticated, StateUnavailable)):
        await identity(issuer_settings(written(tmp_path, keys)), token())


async def test_a_short_rsa_key_verifies_nothing(tmp_path: Path) -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is the point
    with pytest.warns(InsecureKeyLengthWarning):
        text = token("RS256", key=short, headers={"kid": "short"})
    weak = issuer_settings(written(tmp_path, [issuer.jwk(short, "short")]))
    assert "does not have" in await refused(weak, text)


async def test_the_only_key_needs_no_id(tmp_path: Path) -> None:
    one = issuer_settings(written(tmp_path, [issuer.jwk(issuer.EC_KEY, None)]))
    await identity(one, token(headers={}))


async def test_claims_add_names_but_never_all(tmp_path: Path) -> None:
    paths = ClaimNames(
        tenant=("org", "id"),
        features=("features",),
        models=("models",),
        policies=("policies",),
        tiers=("plan",),
        default_tier=("plan",),
        roles=("realm_access", "roles"),
    )
    mapped = issuer_settings(written(tmp_path), tenant="", claims=paths)
    told = token(
        org={"id": "globex"},
        features=["draft", "*", 7, None, "a\nb"],
        models="gpt-4o",
        policies=["x"],
        plan="pro",
        realm_access={"roles": ["tenant_admin", "offline_access"]},
    )
    found = await identity(mapped, told)
    assert found.tenant == "globex"
    assert found.grants == Grants(
        features=frozenset({"chat", "draft"}),
        models=frozenset({"gpt-4o"}),
        policies=None,
        tiers=frozenset({"pro"}),
        default_tier="pro",
        roles=frozenset({Role.TENANT_ADMIN}),
    )


@pytest.mark.parametrize(
    "org", [None, {}, {"id": ""}, {"id": 7}, {"id": "a b"}, {"id": ["x" * 200]}, "globex", {"id": "other"}]
)
async def test_a_token_without_a_tenant_of_this_service_is_refused(tmp_path: Path, org: object) -> None:
    mapped = issuer_settings(
        written(tmp_path), tenant="", tenants=frozenset({"globex"}), claims=ClaimNames(tenant=("org", "id"))
    )
    assert "names no tenant" in await refused(mapped, token(org=org))


async def test_a_verified_token_is_remembered_until_it_ends(trusted: IdentitySettings) -> None:
    time = Time()
    who, text = authenticator(trusted, time=time), token(exp=NOW + 20)
    first = await who.authenticate(bearer(text))
    with pytest.raises(StopIteration):
        next(who.authenticate(bearer(text)).__await__())
    time.pass_by(49)
    assert await who.authenticate(bearer(text)) == first
    time.pass_by(1)
    with pytest.raises(Unauthenticated, match="expired"):
        await who.authenticate(bearer(text))


async def test_an_issuer_that_is_no_longer_trusted_is_refused_after_a_reload(trusted: IdentitySettings) -> None:
    who = authenticator(trusted)
    await who.authenticate(bearer(token()))
    who.use(spiffe_settings("spiffe://h/a"))
    with pytest.raises(Unauthenticated):
        await who.authenticate(bearer(token()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(data=st.data())
def test_no_change_to_a_token_is_believed(trusted: IdentitySettings, data: st.DataObject) -> None:
    text = token("EdDSA")
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABCXYZabcxyz0189-_."))
    changed = text[:at] + letter + text[at + 1 :]
    if changed != text:
        # The last letter of base64 holds bits that say nothing.
        try:
            found = asyncio.run(identity(trusted, changed))
        except Unauthenticated:
            return
        assert _bytes(changed) == _bytes(text)
        assert found.principal == "jwt:corp:alice"


def _bytes(text: str) -> list[bytes]:
    return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in text.split(".")]


@given(text=st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){0,4}", fullmatch=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
def test_no_other_text_is_a_token(trusted: IdentitySettings, text: str) -> None:
    asyncio.run(refused(trusted, text))
