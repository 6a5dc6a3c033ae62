"""A whole router that knows its callers: by key, by token, by certificate, over real connections."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import jwt
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm

from llmrouter import AsyncClient, RouterError
from router_service.app import Application
from router_service.edge.address import CannotServe
from router_service.identity.keys import new_key

KEY, LIMITED_KEY = new_key().reveal(), new_key().reveal()
ISSUER_KEY = ec.generate_private_key(ec.SECP256R1())
BILLING = "spiffe://example.org/billing"
ALL = {"features": "*", "models": "*", "policies": "*", "tiers": "*"}


def configuration(tmp_path: Path, **server: object) -> Path:
    keys = tmp_path / "jwks.json"
    public = ECAlgorithm.to_jwk(ISSUER_KEY.public_key())
    keys.write_text(f'{{"keys": [{public}]}}')
    file = tmp_path / "router.yaml"
    whole = {
        "server": {"address": "127.0.0.1:0", "lame_duck": 0, **server},
        "providers": {"openai": {"api_key": "sk-one", "base_url": "http://127.0.0.1:1/v1"}},
        "models": {"gpt-4o": {"provider": "openai"}},
        "policies": {"default": {"rules": [{"use": "gpt-4o"}]}},
        "identity": {
            "api_keys": {
                "keys": {
                    "batch": {"key": "${KEY}", "tenant": "acme", **ALL},
                    "limited": {"key": "${LIMITED_KEY}", "tenant": "acme", "features": ["chat"]},
                }
            },
            "jwt": {
                "corp": {"issuer": "i", "audience": "a", "jwks_file": str(keys), "claims": {"tenant": "org"}, **ALL}
            },
        },
    }
    if "tls" in server:
        whole["identity"]["mtls"] = {"identities": {BILLING: {"tenant": "billing", **ALL}}}  # type: ignore[index]
    file.write_text(yaml.safe_dump(whole))
    return file


@asynccontextmanager
async def running(file: Path) -> AsyncIterator[int]:
    application = Application(file, environ={"KEY": KEY, "LIMITED_KEY": LIMITED_KEY})
    port = await application.start()
    try:
        yield port
    finally:
        await application.stop()


async def reason_of(client: AsyncClient, **options: str) -> str:
    with pytest.raises(RouterError) as raised:
        await client.route("Hello", **options)  # type: ignore[arg-type]
    return raised.value.reason


def a_token(**more: object) -> str:
    claims = {"iss": "i", "aud": "a", "sub": "alice", "org": "acme", "exp": time.time() + 60, **more}
    return jwt.encode(claims, ISSUER_KEY, algorithm="ES256")


async def test_keys_and_tokens_open_the_door_and_nothing_else_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(configuration(tmp_path)) as port:
        for good in (KEY, a_token()):
            async with AsyncClient.connect(f"127.0.0.1:{port}", api_key=good) as client:
                assert (await client.route("Hello")).decision.candidates
        for bad in (None, "x", new_key().reveal(), KEY[:-1] + "!", a_token(aud="b"), a_token(exp=1)):
            async with AsyncClient.connect(f"127.0.0.1:{port}", api_key=bad) as client:
                assert await reason_of(client) == "UNAUTHENTICATED"
        async with AsyncClient.connect(f"127.0.0.1:{port}", api_key=LIMITED_KEY) as client:
            assert await reason_of(client, feature="draft") == "PERMISSION_DENIED"
    for secret in (KEY[16:], LIMITED_KEY[16:]):
        assert secret not in caplog.text


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """Signs certificates."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.certificate = self._signed(self._name, self._key, [], authority=True)

    def issue(self, *names: x509.GeneralName) -> tuple[bytes, bytes]:
        """A certificate and its key, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        return self._signed(subject, key, list(names)), pem(key)

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: list[x509.GeneralName],
        *,
        authority: bool = False,
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def test_a_certificate_opens_the_door_by_its_uri_alone(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue(x509.DNSName("localhost"))
    for name, content in (("tls.crt", certificate), ("tls.key", key), ("ca.pem", authority.certificate)):
        (tmp_path / name).write_bytes(content)
    tls = {"cert_file": "tls.crt", "key_file": "tls.key", "client_ca_file": "ca.pem"}
    uri, other = x509.UniformResourceIdentifier(BILLING), x509.UniformResourceIdentifier("https://example.org")
    async with running(configuration(tmp_path, tls=tls, address="localhost:0")) as port:

        def presenting(*names: x509.GeneralName, api_key: str | None = None) -> AsyncClient:
            chain, private = authority.issue(*names)
            credentials = grpc.ssl_channel_credentials(authority.certificate, private, chain)
            return AsyncClient.connect(f"localhost:{port}", tls=credentials, api_key=api_key)

        async with presenting(uri, x509.DNSName("billing.example")) as client:
            assert (await client.route("Hello")).decision.candidates
        # A DNS name that looks like the id, another id, two of them, and a key beside it.
        for names, api_key in (((x509.DNSName(BILLING),), None), ((other,), None), ((uri, other), None), ((uri,), KEY)):
            async with presenting(*names, api_key=api_key) as client:
                assert await reason_of(client) == "UNAUTHENTICATED"
        async with presenting(other, api_key=KEY) as client:
            assert (await client.route("Hello")).decision.candidates


async def test_beyond_loopback_it_serves_known_callers_and_warns_of_plaintext(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(configuration(tmp_path, address="0.0.0.0:0")) as port:
        assert "API KEYS AND PROMPTS TRAVEL UNENCRYPTED" in caplog.text
        async with AsyncClient.connect(f"127.0.0.1:{port}", api_key=KEY) as client:
            assert (await client.route("Hello")).decision.candidates
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")()
            await reflect.done_writing()
            assert await reflect.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_beyond_loopback_nobody_is_anonymous(tmp_path: Path) -> None:
    file = configuration(tmp_path, address="0.0.0.0:0")
    whole = yaml.safe_load(file.read_text())
    whole["identity"]["anonymous"] = {"tenant": "guests"}
    file.write_text(yaml.safe_dump(whole))
    application = Application(file, environ={"KEY": KEY, "LIMITED_KEY": LIMITED_KEY})
    try:
        with pytest.raises(CannotServe, match=r"identity\.anonymous"):
            await application.start()
    finally:
        await application.stop()


async def test_beyond_loopback_a_reload_cannot_open_the_door_to_everybody(tmp_path: Path) -> None:
    file = configuration(tmp_path, address="0.0.0.0:0")
    application = Application(file, environ={"KEY": KEY, "LIMITED_KEY": LIMITED_KEY})
    port = await application.start()
    try:
        whole = yaml.safe_load(file.read_text())
        del whole["identity"]
        file.write_text(yaml.safe_dump(whole))
        assert "Refused to serve on 0.0.0.0:0" in str(await application.reload())
        async with AsyncClient.connect(f"127.0.0.1:{port}") as client:
            assert await reason_of(client) == "UNAUTHENTICATED"
    finally:
        await application.stop()
