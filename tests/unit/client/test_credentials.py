"""Which key is sent, and where to."""

from __future__ import annotations

import pytest

from llmrouter.credentials import key_for

KEY = "rk_secret"
HERE = [
    "dns:///localhost:50051",
    "dns:///127.0.0.1:50051",
    "dns:///127.8.9.1:1",
    "dns:///[::1]:50051",
    "ipv4:127.0.0.1:1,127.0.0.2:2",
    "ipv6:[::1]:1",
    "unix:/run/router.sock",
    "unix-abstract:router",
]
ELSEWHERE = [
    "dns:///router.internal:443",
    "dns:///10.0.0.1:50051",
    "dns://127.0.0.1/router.internal:443",
    "dns:///localhost.example.com:1",
    "dns:///0.0.0.0:50051",
    "dns:///[::]:50051",
    "ipv4:127.0.0.1:1,10.0.0.1:1",
    "xds:///router",
    "vsock:2:50051",
]


@pytest.mark.parametrize("target", HERE)
def test_a_key_travels_in_plaintext_within_this_machine(target: str) -> None:
    assert key_for(target, KEY, tls=False, plaintext=False) == KEY


@pytest.mark.parametrize("target", ELSEWHERE)
def test_a_key_travels_elsewhere_encrypted_or_as_the_caller_says(target: str) -> None:
    with pytest.raises(ValueError, match="unencrypted") as raised:
        key_for(target, KEY, tls=False, plaintext=False)
    assert KEY not in str(raised.value)
    assert key_for(target, KEY, tls=True, plaintext=False) == KEY
    assert key_for(target, KEY, tls=False, plaintext=True) == KEY
    assert key_for(target, "", tls=False, plaintext=False) is None


def test_the_environments_key_is_used_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMROUTER_API_KEY", "rk_environment")
    assert key_for(HERE[0], None, tls=False, plaintext=False) == "rk_environment"
    assert key_for(HERE[0], KEY, tls=False, plaintext=False) == KEY
    assert key_for(HERE[0], "", tls=False, plaintext=False) is None
    with pytest.raises(ValueError, match="unencrypted"):
        key_for(ELSEWHERE[0], None, tls=False, plaintext=False)
