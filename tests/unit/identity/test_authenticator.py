"""Which credential counts, and that two of them never do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from identity_values import (
    GRANTS,
    MemoryKeyStore,
    a_key,
    authenticator,
    bearer,
    database_settings,
    declared_settings,
    kept,
    spiffe_settings,
)
from issuer import issuer_settings, token, written

from router_service.config.identity import EVERYBODY, GrantedIdentity, IdentitySettings
from router_service.domain.error import Unauthenticated
from router_service.domain.identity import IdentityKind
from router_service.identity.authenticator import Authenticator, Credentials

BILLING = "spiffe://example.org/ns/billing/sa/api"


async def refused(who: Authenticator, credentials: Credentials) -> str:
    with pytest.raises(Unauthenticated) as raised:
        await who.authenticate(credentials)
    return raised.value.message


async def test_where_nobody_is_asked_everybody_is_the_default_tenant() -> None:
    who = authenticator(IdentitySettings(anonymous=EVERYBODY))
    for credentials in (Credentials(), bearer("whatever"), Credentials(api_key=("a", "b"))):
        identity = await who.authenticate(credentials)
        assert (identity.tenant, identity.kind) == ("default", IdentityKind.ANONYMOUS)
        assert identity.may_use_feature("")


async def test_without_credentials_it_is_told_how_to_bring_some(tmp_path: Path) -> None:
    who = authenticator(replace(issuer_settings(written(tmp_path)), spiffe=spiffe_settings(BILLING).spiffe))
    message = await refused(who, Credentials())
    assert "authorization: Bearer" in message
    assert "a token of a trusted issuer or a client certificate" in message


async def test_wrong_credentials_do_not_fall_back_to_anonymous() -> None:
    key = a_key()
    who = authenticator(declared_settings(key, anonymous=GrantedIdentity(tenant="guests", grants=GRANTS)))
    assert (await who.authenticate(Credentials())).tenant == "guests"
    assert (await who.authenticate(bearer(key.reveal()))).tenant == "acme"
    await refused(who, bearer(a_key().reveal()))


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwdw==", "rk_x", "Bearer\tx", "Bearer " + "x" * 20_000]
)
async def test_a_header_that_is_not_understood_is_refused(header: str) -> None:
    who = authenticator(declared_settings(a_key()))
    assert "not understood" in await refused(who, Credentials(authorization=(header,)))


async def test_the_scheme_may_be_written_in_any_case() -> None:
    key = a_key()
    who = authenticator(declared_settings(key))
    for scheme in ("bearer", "BEARER"):
        await who.authenticate(Credentials(authorization=(f"{scheme}  {key.reveal()}",)))


async def test_keys_and_tokens_are_told_apart(tmp_path: Path) -> None:
    key = a_key()
    both = replace(issuer_settings(written(tmp_path)), api_keys=declared_settings(key).api_keys)
    who = authenticator(both)
    assert (await who.authenticate(bearer(key.reveal()))).kind is IdentityKind.API_KEY
    assert (await who.authenticate(bearer(token()))).kind is IdentityKind.JWT
    assert "API key is not valid" in await refused(who, Credentials(api_key=(token(),)))


async def test_several_credentials_are_refused_even_if_each_holds() -> None:
    key = a_key()
    settings = replace(declared_settings(key), spiffe=spiffe_settings(BILLING).spiffe)
    who = authenticator(settings)
    header = f"Bearer {key.reveal()}"
    for credentials, named in (
        (Credentials(authorization=(header, header)), "authorization 2 times"),
        (Credentials(authorization=(header,), api_key=(key.reveal(),)), "authorization, x-api-key"),
        (Credentials(api_key=(key.reveal(),) * 2), "x-api-key 2 times"),
        (Credentials(authorization=(header,), certificate_uris=(BILLING,)), "authorization, a client certificate"),
    ):
        message = await refused(who, credentials)
        assert f"more than one credential: {named}." in message
        assert key.reveal() not in message


# Certificates


async def test_a_certificate_is_known_by_its_exact_spiffe_id() -> None:
    who = authenticator(spiffe_settings(BILLING))
    identity = await who.authenticate(Credentials(certificate_uris=(BILLING,)))
    assert (identity.tenant, identity.principal, identity.kind) == ("acme", BILLING, IdentityKind.MTLS)


@pytest.mark.parametrize(
    "uri",
    [BILLING + "/", BILLING[:-1], BILLING.upper(), BILLING + "/x", "spiffe://example.org/*", "", "https://example.org"],
)
async def test_any_other_id_is_nobody(uri: str) -> None:
    who = authenticator(spiffe_settings(BILLING))
    assert "names nobody" in await refused(who, Credentials(certificate_uris=(uri,)))


async def test_a_certificate_of_several_is_refused() -> None:
    who = authenticator(spiffe_settings(BILLING))
    for uris in ((BILLING, BILLING), (BILLING, "https://x"), ("https://x", "https://y")):
        assert "several URIs" in await refused(who, Credentials(certificate_uris=uris))


async def test_a_certificate_of_the_mesh_does_not_stand_in_the_way_of_a_key() -> None:
    key = a_key()
    who = authenticator(replace(declared_settings(key), spiffe=spiffe_settings(BILLING).spiffe))
    mesh = Credentials(authorization=(f"Bearer {key.reveal()}",), certificate_uris=("spiffe://example.org/proxy",))
    assert (await who.authenticate(mesh)).kind is IdentityKind.API_KEY


def test_credentials_are_not_shown() -> None:
    key = a_key().reveal()
    credentials = Credentials(authorization=(f"Bearer {key}",), api_key=(key,), certificate_uris=(BILLING,))
    assert repr(credentials) == "Credentials()"


async def test_no_error_or_identity_shows_the_key() -> None:
    key = a_key()
    who = authenticator(database_settings(), MemoryKeyStore([kept(key)]))
    identity = await who.authenticate(bearer(key.reveal()))
    assert key.reveal()[16:] not in repr(identity)
    assert key.reveal()[16:] not in repr(vars(who))
