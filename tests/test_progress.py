"""Bars for people, silence for everything else."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time

import pytest

from datatransfer.display.plain import aligned, visible
from datatransfer.events import Progress, Warned, silent
from datatransfer.progress import TqdmListener, default_listener, in_notebook, tqdm_listener
from tests.support.stopping import wait_until


class Terminal(io.StringIO):
    """A stream that says a person watches it."""

    def isatty(self) -> bool:
        return True


def test_a_bar_shows_how_long_it_is_at_it_where_nothing_is_told() -> None:
    stream = Terminal()
    with tqdm_listener(delay=1.5, stream=stream) as listener:
        listener(Progress("merge", "orders", rows_done=0, rows_total=100))
        assert "merging" not in stream.getvalue()
        wait_until(lambda: "00:03<?" in stream.getvalue())
        assert "merging" in stream.getvalue()
        assert "orders" in stream.getvalue()
    wait_until(lambda: "datatransfer-clock" not in {thread.name for thread in threading.enumerate()})


def test_a_bar_of_a_notebook_is_shown_first_by_an_event_in_the_thread_of_its_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datatransfer.progress.in_notebook", lambda: True)
    with tqdm_listener(delay=0.5) as listener:
        listener(Progress("merge", "orders", rows_done=0, rows_total=100))
        bar = listener._bars["merge"]
        time.sleep(2.5)
        assert not bar.displayed
        listener(Progress("merge", "orders", rows_done=1, rows_total=100))
        assert bar.displayed


def test_a_phase_becomes_a_bar_with_its_words_and_table() -> None:
    stream = Terminal()
    with tqdm_listener(delay=0, stream=stream) as listener:
        listener(Progress("read", "orders", rows_done=50, rows_total=100))
        listener._bars["read"].refresh()
        shown = stream.getvalue()
    assert "reading rows" in shown
    assert "orders" in shown
    assert "50%" in shown


def test_bytes_are_shown_where_a_phase_counts_no_rows() -> None:
    with tqdm_listener(delay=0, stream=Terminal()) as listener:
        listener(Progress("files", bytes_done=500, bytes_total=1000))
        assert listener._bars["files"].unit == "B"
        assert listener._bars["files"].n == 500


def test_a_finished_phase_and_a_closed_listener_leave_no_bar() -> None:
    stream = Terminal()
    with tqdm_listener(delay=0, stream=stream) as listener:
        listener(Progress("read", rows_done=5, rows_total=10))
        listener(Progress("read", rows_done=10, rows_total=10))
        assert not listener._bars
        listener(Progress("read", rows_done=10, rows_total=10))
        assert not listener._bars
        listener(Progress("write", rows_done=1, rows_total=10))
    assert not listener._bars
    assert stream.getvalue().rstrip(" ").endswith("\r")


def test_a_phase_of_unknown_length_ends_when_the_next_begins() -> None:
    with tqdm_listener(delay=0, stream=Terminal()) as listener:
        listener(Progress("select", rows_done=5))
        listener(Progress("read", rows_done=5, rows_total=10))
        assert set(listener._bars) == {"read"}


def test_a_phase_that_begins_anew_goes_back() -> None:
    with tqdm_listener(delay=0, stream=Terminal()) as listener:
        listener(Progress("read", rows_done=8, rows_total=10))
        listener(Progress("read", rows_done=2, rows_total=10))
        assert listener._bars["read"].n == 2


def test_a_quick_transfer_shows_nothing() -> None:
    stream = Terminal()
    with tqdm_listener(stream=stream) as listener:
        for done in range(11):
            listener(Progress("read", rows_done=done, rows_total=10))
    assert stream.getvalue() == ""


def test_a_phase_that_starts_late_shows_at_once() -> None:
    stream = Terminal()
    with tqdm_listener(delay=0.2, stream=stream) as listener:
        listener(Progress("read", rows_done=1, rows_total=10))
        assert stream.getvalue() == ""
        time.sleep(0.25)
        listener(Progress("plan", "orders"))
        assert "planning" in stream.getvalue()


def test_after_a_silence_another_transfer_begins() -> None:
    with tqdm_listener(delay=0.1, stream=Terminal()) as listener:
        listener(Progress("read", rows_done=10, rows_total=10))
        first = listener._started
        listener._heard -= 60
        listener(Progress("stage", rows_done=10, rows_total=10))
        assert listener._started > first


def test_a_warning_is_a_line_and_cannot_move_the_cursor() -> None:
    stream = Terminal()
    with tqdm_listener(stream=stream) as listener:
        listener(Warned("orphan", "3 rows without a parent \x1b[2J", where="items"))
    assert stream.getvalue() == "warning: items: 3 rows without a parent \\x1b[2J\n"


def test_the_default_is_silent_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert default_listener() is silent
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(default_listener(), TqdmListener)


def test_a_plain_process_is_no_notebook() -> None:
    assert not in_notebook()


def test_importing_progress_loads_no_bars() -> None:
    code = "import sys, datatransfer.progress; sys.exit('tqdm' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("line\nnext\r", "line\\nnext\\r"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("Größe 漢字", "Größe 漢字"),
    ],
)
def test_characters_that_play_tricks_are_shown_as_escapes(hostile: str, shown: str) -> None:
    assert visible(hostile) == shown


def test_columns_are_aligned_also_with_wide_characters() -> None:
    text = aligned(["name", "rows"], [("漢字", 1), ("a", 1000)])
    assert text.splitlines() == ["name   rows", "漢字      1", "a     1,000"]


def test_bytes_of_unknown_total_are_counted() -> None:
    with tqdm_listener(delay=0, stream=Terminal()) as listener:
        listener(Progress("files", bytes_done=700))
        assert (listener._bars["files"].n, listener._bars["files"].unit) == (700, "B")
