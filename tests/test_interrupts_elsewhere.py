"""Ctrl-C on the command line, in a kernel, twice, in other threads, beside a handler of the application."""

from __future__ import annotations

import gc
import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer import interrupts
from datatransfer.database.writers.sqlite import SQLiteWriter
from tests.support.children import Call
from tests.support.scenes import leftovers
from tests.support.servers import Databases
from tests.support.shop import make_shop, two_shops
from tests.support.stopping import NOTHING, no_session_is_left, wait_until
from tests.support.transfer import export_all

# --- the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("place", ["stage.after_commit:1", "merge.table:2", "merge.after_commit:1"])
def test_a_command_that_is_stopped_says_in_one_line_what_is_so(
    databases: Databases, tmp_path: Path, name: str, code: int, place: str
) -> None:
    source, target = two_shops(databases)
    package = tmp_path / "all.zip"
    export_all(source, package)
    told = {"DATATRANSFER_FAILPOINT": place, "DATATRANSFER_FAILPOINT_SIGNAL": name}
    arguments = {"arguments": ["import", str(package), target]}
    call = Call("cli", str(package), target, options=arguments, environment=told, said=str(tmp_path / "said"))
    assert call.run() == code
    with dt.Database(target) as db:
        receipts = list(dt.receipts(db)["import_id"])
        expected = f"interrupted; the import is done: receipt {receipts[0]}" if receipts else NOTHING
        assert bool(receipts) is (place == "merge.after_commit:1")
        assert db.count("orders") == (8 if receipts else 5)
    assert Path(call.said).read_text() == f"{expected}\n"
    assert leftovers(target) == []


def test_a_command_with_json_says_so_in_a_document(databases: Databases, tmp_path: Path) -> None:
    source, package = databases.create("sqlite"), tmp_path / "all.zip"
    make_shop(source, "s", 3)
    told = {"DATATRANSFER_FAILPOINT": "export.batch:1", "DATATRANSFER_FAILPOINT_SIGNAL": "SIGINT"}
    arguments = {"arguments": ["export", source, str(package), "--all", "--json"]}
    call = Call("cli", str(package), source, options=arguments, environment=told, said=str(tmp_path / "said"))
    assert call.run() == 130
    document = json.loads(Path(call.said).read_text())
    assert (document["error"], document["message"], document["retryable"]) == ("cancelled", NOTHING, True)


# --- twice, nested, elsewhere ---------------------------------------------------------------------------------------


def test_a_second_interrupt_while_cleaning_leaves_a_stage_that_is_resumed(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = two_shops(databases)
    package = export_all(source, tmp_path / "all.zip")
    cleaning = SQLiteWriter.drop_stage

    def stop() -> None:
        signal.raise_signal(signal.SIGINT)

    def drop_stage(self: SQLiteWriter) -> None:
        stop()
        cleaning(self)

    class Stopping(dt.events.Cancellation):
        def check(self) -> None:
            stop()
            super().check()

    monkeypatch.setattr(SQLiteWriter, "drop_stage", drop_stage)
    with dt.Database(target) as db:
        with pytest.raises(KeyboardInterrupt, match="interrupted twice"):
            dt.PackageImporter(package, db, cancellation=Stopping()).run()
        monkeypatch.undo()
        assert list(dt.stages(db)["state"]) == ["left"]
        assert db.count("orders") == 5
        dt.PackageImporter(package, db).resume()
        assert db.count("orders") == 8
    assert leftovers(target) == []


def test_an_interrupt_is_raised_once_and_not_while_shielded() -> None:
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        with interrupts.shielded():
            interrupts.checkpoint()
        assert interrupts.came()
        interrupts.tell("it is done")
        with pytest.raises(KeyboardInterrupt):
            interrupts.checkpoint()
        interrupts.checkpoint()

    with pytest.raises(KeyboardInterrupt, match=r"^interrupted; it is done$"):
        interrupts.held()(work)()
    assert not interrupts.came()
    interrupts.checkpoint()


def test_an_error_that_an_interrupt_caused_is_its_cause() -> None:
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        raise dt.DatabaseError("cancelled")

    with pytest.raises(KeyboardInterrupt) as caught:
        interrupts.held()(work)()
    assert isinstance(caught.value.__cause__, dt.DatabaseError)


def test_a_handler_of_the_application_keeps_its_say() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    try:
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
            interrupts.checkpoint()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_in_other_threads_nothing_is_held() -> None:
    found: list[object] = []

    def work() -> None:
        with interrupts.held():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


# --- a kernel -------------------------------------------------------------------------------------------------------


def _run_interrupted(manager: Any, client: Any, wait: Path) -> dict[str, Any]:
    """Run the importer in a kernel that is interrupted where it waits; return the content of its reply."""

    def interrupt() -> None:
        wait_until(wait.exists)
        manager.interrupt_kernel()
        time.sleep(0.2)
        wait.unlink()

    thread = threading.Thread(target=interrupt)
    thread.start()
    said = client.execute_interactive("importer.run()", timeout=60, output_hook=lambda _message: None)
    thread.join()
    content: dict[str, Any] = said["content"]
    return content


# The client of jupyter_client leaves its event loop to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_kernel_that_is_interrupted_goes_on_and_imports_once_more(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jupyter_client.manager import start_new_kernel

    source, target = two_shops(databases, "postgresql")
    wait = tmp_path / "wait"
    export_all(source, tmp_path / "all.zip")
    monkeypatch.setenv("PYTHONPATH", str(Path(dt.__file__).parent.parent))
    monkeypatch.setenv("DATATRANSFER_FAILPOINT", "merge.table:1")
    monkeypatch.setenv("DATATRANSFER_FAILPOINT_WAIT", str(wait))
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute_interactive(
            f"import datatransfer as dt\ndb = dt.Database({target!r})\n"
            f"importer = dt.PackageImporter(dt.DataPackage.open({str(tmp_path / 'all.zip')!r}), db)",
            timeout=60,
        )

        content = _run_interrupted(manager, client, wait)
        assert (content["status"], content["ename"], content["evalue"]) == ("error", "KeyboardInterrupt", NOTHING)
        no_session_is_left(target)
        assert leftovers(target) == []
        check = (
            "assert dt.stages(db).empty\nassert db.count('orders') == 5\nimporter.run()\nassert db.count('orders') == 8"
        )
        done = client.execute_interactive(check, timeout=60)
        assert done["content"]["status"] == "ok", done["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        del client, manager
        gc.collect()  # here, where the warning is known, and not in the test after this one
