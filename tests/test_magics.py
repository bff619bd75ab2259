"""``%datatransfer``: one line that looks, and shows the code that it ran."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from IPython import get_ipython
from IPython.core.interactiveshell import InteractiveShell

import datatransfer as dt
from datatransfer.notebook.magics import VERBS, run, usage
from datatransfer.sample import create_sample


@pytest.fixture
def shop(tmp_path: Path) -> tuple[str, Path]:
    url, path = f"sqlite:///{tmp_path / 'shop.db'}", tmp_path / "all.zip"
    with create_sample(url, tmp_path / "files") as db:
        dt.PackageBuilder(db).add_all().build(path, progress=False).close()
    return url, path


def test_every_verb_shows_code_that_gives_the_same(shop: tuple[str, Path]) -> None:
    url, path = shop
    words = {"PACKAGE": str(path), "URL": url, "PACKAGE|URL": url}
    for name, verb in VERBS.items():
        code, result = run(" ".join([name, *(words[place] for place in verb.places)]), {})
        again = eval(code, {"dt": dt})
        assert type(again) is type(result), name
        if isinstance(result, pd.DataFrame):
            pd.testing.assert_frame_equal(result, again)


def test_variables_of_the_notebook_can_be_named(shop: tuple[str, Path]) -> None:
    with dt.Database(shop[0]) as db:
        code, tables = run("tables db", {"db": db})
        assert code == "db.tables"
        assert "users" in set(tables["table"])


def test_passwords_are_not_printed() -> None:
    code, _ = run("graph db", {"db": dt.Database("sqlite://")})
    assert code == "db.graph"
    url = "postgresql+psycopg://u:S3CR3T@127.0.0.1:1/x"
    with pytest.raises(dt.DatabaseError) as refused:
        run(f"tables {url}", {})
    assert "S3CR3T" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "said"), [("nope x", "no verb"), ("inspect", "do not fit"), ("jobs now", "do not fit"), ("x 'y", "quot")]
)
def test_wrong_lines_say_what_is_right(line: str, said: str) -> None:
    with pytest.raises(dt.UsageError, match=said):
        run(line, {})


def test_help_is_shown_and_a_misspelt_verb_gets_the_one_that_is_close() -> None:
    assert run("--help", {}) == run("-h", {}) == (usage(), None)
    with pytest.raises(dt.UsageError, match="no verb 'inspct'") as caught:
        run("inspct x", {})
    assert caught.value.hint == "did you mean 'inspect'?"


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell of IPython that is gone afterwards: where there is one, errors are shown in its way."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()
    assert get_ipython() is None


def test_it_is_loaded_as_an_extension(
    shop: tuple[str, Path], capsys: pytest.CaptureFixture[str], shell: InteractiveShell
) -> None:
    assert run("", {}) == (usage(), None)
    shell.run_line_magic("load_ext", "datatransfer")
    result = shell.run_line_magic("datatransfer", f"verify {shop[1]}")
    assert result.ok
    assert ".verify()" in capsys.readouterr().out
    assert shell.run_line_magic("datatransfer", f"diff {shop[1]} {shop[1]}").empty
    assert capsys.readouterr().out.endswith("\nno differences\n")
