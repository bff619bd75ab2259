"""What the command line never shows: passwords, and control characters as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from datatransfer.cli import main
from datatransfer.cli.output import Output, without_passwords
from datatransfer.errors import DataTransferError
from tests.support.commands import complaint, make, said

SECRET = "S3CR3T-7f1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:S3CR3T-7f1@h/db", "postgresql://ann:***@h/db"),
        ("'mysql+pymysql://ann:a@S3CR3T-7f1@h/db'", "'mysql+pymysql://ann:***@h/db'"),
        ("postgresql://h/db?password=S3CR3T-7f1&sslmode=no", "postgresql://h/db?password=***&sslmode=no"),
        ("x://h/db?a=1&sslPassword=S3CR3T-7f1", "x://h/db?a=1&sslPassword=***"),
        ("x://h/db?api_key=S3CR3T-7f1;token=S3CR3T-7f1", "x://h/db?api_key=***;token=***"),
        ("sqlite:///shop.db", "sqlite:///shop.db"),
        ("mail ann@example.org about it", "mail ann@example.org about it"),
    ],
)
def test_passwords_of_addresses_are_masked(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    "typed",
    [
        ["tables", f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:1/shop"],
        ["tables", f"postgresql+psycopg://127.0.0.1:1/shop?user=ann&password={SECRET}"],
        ["tables", f"nosuchdialect://ann:{SECRET}@127.0.0.1/shop"],
        ["tables", f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:port/shop"],
        ["tables", "env:DT_TEST_URL"],
        ["tables", "sqlite:///shop.db", f"postgresql://ann:{SECRET}@127.0.0.1/shop"],
        [f"postgresql://ann:{SECRET}@127.0.0.1/shop"],
    ],
)
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_no_failing_command_shows_a_password(
    typed: list[str], extra: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DT_TEST_URL", f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:1/shop")
    try:
        code = main([*typed, *extra])
    except SystemExit as end:
        code = int(end.code or 0)
    heard = capsys.readouterr()
    assert code in (2, 3)
    assert SECRET not in heard.out + heard.err
    assert "Traceback" not in heard.err
    assert heard.err


def test_errors_without_an_address_in_them_lose_the_password_too(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(arguments={"url": f"postgresql://ann:{SECRET}%21@h/db"})
    out.error(DataTransferError(f"the server says: no user with {SECRET}!"))
    out.bug(RuntimeError(f"password={SECRET}%21"))
    assert SECRET not in capsys.readouterr().err


def test_control_characters_are_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "odd.db", 'CREATE TABLE "red\x1b[31m\u202e" (id INTEGER PRIMARY KEY, "a\nb" TEXT);')
    shown = said(capsys, "tables", f"sqlite:///{tmp_path / 'odd.db'}")
    assert "red\\x1b[31m\\u202e" in shown
    assert not {"\x1b", "\u202e"} & set(shown)
    shown = complaint(capsys, "tables", "sqlite:///\x1b[2Jnothing.db", code=3)
    assert "\x1b" not in shown
