"""API keys as texts: their form, what is kept of them, and that they are not shown."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_values import PEPPER, kept

from router_service.config.secret import LiteralSecret
from router_service.identity.keys import NewKey, Peppers, new_key, public_id_of

OTHER = LiteralSecret("another pepper that is long enough")


def test_a_key_has_a_public_part_and_a_secret_one() -> None:
    key = new_key()
    prefix, public, secret = key.reveal().split("_")
    assert (prefix, len(public), len(secret)) == ("rk", 12, 48)
    assert key.public_id == f"rk_{public}" == public_id_of(key.reveal())


def test_keys_are_drawn_from_the_whole_alphabet_each_time_anew() -> None:
    keys = {new_key().reveal() for _ in range(200)}
    assert len(keys) == 200
    letters = Counter("".join(key[16:] for key in keys))
    assert len(letters) == 62
    assert max(letters.values()) < 2 * min(letters.values())


def test_the_source_of_randomness_is_injected() -> None:
    assert new_key(lambda letters: letters[0]).reveal() == f"rk_{'a' * 12}_{'a' * 48}"


@given(st.text(max_size=80) | st.from_regex(r"rk_[0-9A-Za-z]{10,14}_[0-9A-Za-z]{46,50}\n?", fullmatch=True))
def test_only_the_exact_form_is_a_key(text: str) -> None:
    parts = text.split("_")
    right = (
        len(parts) == 3
        and [len(part) for part in parts] == [2, 12, 48]
        and parts[0] == "rk"
        and all(part.isascii() and part.isalnum() for part in parts)
    )
    assert (public_id_of(text) is not None) is right


def test_a_hash_depends_on_the_whole_key_and_the_pepper() -> None:
    key = NewKey(f"rk_{'a' * 12}_{'b' * 48}")
    hashes = {
        Peppers([pepper]).hash(text)
        for pepper in (PEPPER, OTHER)
        for text in (key.reveal(), f"rk_{'a' * 12}_{'b' * 47}c", f"rk_{'a' * 11}c_{'b' * 48}")
    }
    assert len(hashes) == 6
    assert {len(one) for one in hashes} == {32}


def test_older_peppers_still_match_and_new_hashes_take_the_first() -> None:
    text = new_key().reveal()
    old, both = Peppers([PEPPER]), Peppers([OTHER, PEPPER])
    assert both.match(text, old.hash(text))
    assert both.match(text, both.hash(text))
    assert not old.match(text, both.hash(text))
    with pytest.raises(ValueError, match=r"identity\.api_keys\.pepper"):
        Peppers([]).hash(text)


def test_every_pepper_is_tried_whether_or_not_one_matched_before() -> None:
    tried: list[str] = []

    class Counted:
        def __init__(self, value: str) -> None:
            self._value = value

        def reveal(self) -> str:
            tried.append(self._value)
            return self._value

    text = new_key().reveal()
    peppers = Peppers([Counted("first"), Counted("second")])
    expected = peppers.hash(text)
    for against in (expected, bytes(32)):
        tried.clear()
        peppers.match(text, against)
        assert tried == ["first", "second"]


def test_neither_key_nor_hash_is_shown() -> None:
    key = new_key()
    secret = key.reveal()[16:]
    record = kept(key)
    for shown in (repr(key), repr(record), str(key), f"{record}"):
        assert secret not in shown
        assert record.secret_hash.hex() not in shown
        assert repr(record.secret_hash) not in shown
