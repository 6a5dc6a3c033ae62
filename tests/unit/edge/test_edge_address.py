from __future__ import annotations

import pytest

from router_service.edge.address import CannotServe, check_address, exposure


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:50051",
        "127.3.2.1:0",
        "localhost:50051",
        "[::1]:50051",
        "unix:/run/llmrouter.sock",
        "unix:///run/llmrouter.sock",
        "unix-abstract:llmrouter",
    ],
)
def test_what_only_this_machine_can_reach_is_served_without_authentication(address: str) -> None:
    check_address(address)
    assert not exposure(address, tls=False)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0:50051",
        "[::]:50051",
        "10.0.0.7:50051",
        "example.com:50051",
        "[::ffff:10.0.0.7]:50051",
        "localhost.evil:1",
    ],
)
def test_any_other_address_is_refused_with_the_way_out(address: str) -> None:
    with pytest.raises(CannotServe, match=r"not authenticated.*docs/authentication\.md.*127\.0\.0\.1"):
        check_address(address)
    with pytest.raises(CannotServe, match=r"identity\.anonymous"):
        check_address(address, authenticated=True)
    check_address(address, authenticated=True, anonymous=False)
    assert "UNENCRYPTED" in exposure(address, tls=False)
    assert not exposure(address, tls=True)


@pytest.mark.parametrize("address", ["", ":50051", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "::1:50051", "a:b:1"])
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(CannotServe, match=r"127\.0\.0\.1:50051"):
        check_address(address)
