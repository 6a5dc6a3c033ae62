"""Secrets rotate without a restart and are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from router_service.config.secret import EnvironmentSecret, FileSecret, LiteralSecret


def test_a_file_is_read_again_when_another_takes_its_place(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(" first\n")
    secret = FileSecret(file)
    assert secret.reveal() == "first"
    (tmp_path / "next").write_text("second")
    (tmp_path / "next").replace(file)
    assert secret.reveal() == "second"


def test_a_file_is_read_again_when_it_is_written_in_place(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first")
    secret = FileSecret(file)
    file.write_text("a longer one")
    assert secret.reveal() == "a longer one"


def test_the_last_good_value_stays_while_the_file_is_missing_or_empty(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first")
    secret = FileSecret(file)
    file.unlink()
    assert secret.reveal() == "first"
    file.write_text("")
    assert secret.reveal() == "first"
    file.write_text("second")
    assert secret.reveal() == "second"


def test_a_swapped_directory_link_is_followed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(name)
    link = tmp_path / "..data"
    link.symlink_to("one")
    secret = FileSecret(link / "key")
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").replace(link)
    assert secret.reveal() == "two"


def test_a_file_without_a_secret_is_refused_at_first(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="empty"):
        FileSecret(tmp_path / "empty")
    with pytest.raises(OSError, match="No such file"):
        FileSecret(tmp_path / "gone")


def test_a_variable_is_followed_and_remembered() -> None:
    environ = {"KEY": "a"}
    secret = EnvironmentSecret("KEY", environ)
    environ["KEY"] = "b"
    assert secret.reveal() == "b"
    del environ["KEY"]
    assert secret.reveal() == "b"


def test_no_secret_shows_itself(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("canary")
    secrets = [LiteralSecret("canary"), EnvironmentSecret("KEY", {"KEY": "canary"}), FileSecret(tmp_path / "key")]
    assert [secret.reveal() for secret in secrets] == ["canary"] * 3
    assert "canary" not in f"{secrets}{[str(secret) for secret in secrets]}"


def test_the_line_feed_after_a_key_in_a_variable_is_no_part_of_it() -> None:
    environ = {"KEY": "one\n"}
    secret = EnvironmentSecret("KEY", environ)
    environ["KEY"] = "two \n"
    assert secret.reveal() == "two"
    environ["KEY"] = " \n"
    assert secret.reveal() == "two"
