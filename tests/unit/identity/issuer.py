"""An issuer of tokens, with keys of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from router_service.config.identity import Algorithm, ClaimNames, IdentitySettings, IssuerSettings
from router_service.domain.identity import Grants

ISSUER = "https://login.example.com"
AUDIENCE = "llmrouter"
NOW = 1_000_000

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
STRANGERS_KEY = ec.generate_private_key(ec.SECP256R1())

PRIVATE: dict[str, Any] = {"RS256": RSA_KEY, "RS512": RSA_KEY, "PS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}


def jwk(key: Any, key_id: str | None, **more: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    if isinstance(key, rsa.RSAPrivateKey):
        made = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        made = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        made = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**made, **({} if key_id is None else {"kid": key_id}), **more}


KEYS = [jwk(RSA_KEY, "rsa"), jwk(EC_KEY, "ec"), jwk(ED_KEY, "ed")]
KEY_IDS = {"RS": "rsa", "PS": "rsa", "ES": "ec", "Ed": "ed"}


def claims(**more: Any) -> dict[str, Any]:
    """Claims of a good token; `None` leaves one out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 300, **more}
    return {name: value for name, value in good.items() if value is not None}


def token(algorithm: str = "ES256", *, key: Any = None, headers: dict[str, Any] | None = None, **more: Any) -> str:
    """A signed token."""
    kid = {"kid": KEY_IDS.get(algorithm[:2], "ec")} if headers is None else headers
    return jwt.encode(claims(**more), PRIVATE[algorithm] if key is None else key, algorithm=algorithm, headers=kid)


def written(folder: Path, keys: list[dict[str, Any]] | None = None) -> str:
    """A file with keys."""
    file = folder / "keys.json"
    file.write_text(json.dumps({"keys": KEYS if keys is None else keys}))
    return str(file)


def issuer_settings(file: str, **more: Any) -> IdentitySettings:
    """One issuer, whose keys are in a file."""
    given: dict[str, Any] = {
        "name": "corp",
        "issuer": ISSUER,
        "audiences": frozenset({AUDIENCE}),
        "algorithms": tuple(Algorithm),
        "jwks_file": file,
        "tenant": "acme",
        "grants": Grants(features=frozenset({"chat"}), policies=None),
        "claims": ClaimNames(),
        **more,
    }
    return IdentitySettings(issuers=(IssuerSettings(**given),))
