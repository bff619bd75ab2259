"""Transfers in processes of their own, which can be killed; forked from one that has imported everything already."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["datatransfer.importing.importer", "datatransfer.exporting.builder", "datatransfer.package.package", "pandas",
     "pyarrow.parquet", "adbc_driver_sqlite.dbapi", "adbc_driver_postgresql.dbapi", "psycopg", "pymysql", __name__]
)  # fmt: skip
KILLED = -signal.SIGKILL
INTERRUPTED = 130


@dataclass(frozen=True)
class Call:
    """One call of the library, as plain data.

    Parameters
    ----------
    verb : str
        Of `VERBS`.
    package, url, files : str
        Where the package, the database and the files of its sample are.
    options : mapping
        Keyword arguments.
    environment : mapping
        Variables of the child.
    said : str
        File for the traceback of a failure.
    """

    verb: str
    package: str
    url: str
    files: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    said: str = ""

    def start(self) -> ForkServerProcess:
        """Begin in a child."""
        process = _CONTEXT.Process(target=_child, args=(self,))
        process.start()
        return process

    def run(self, timeout: float = 120) -> int:
        """Run in a child to its end and return its exit code, negative for a signal."""
        process = self.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise AssertionError(f"{self.verb} did not end in {timeout} s")
        return process.exitcode

    def check(self) -> None:
        """Run in a child and fail if that fails, with its traceback."""
        code = self.run()
        assert code == 0, Path(self.said).read_text() if self.said and Path(self.said).exists() else code


def answers(calls: Sequence[Call], timeout: float = 120) -> list[Any]:
    """Start calls, let them go at one moment, and return what each told."""
    processes = [call.start() for call in calls]
    time.sleep(0.3)
    Path(calls[0].options["go"]).touch()
    until = time.monotonic() + timeout
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
    alive = [process for process in processes if process.exitcode is None]
    for process in alive:
        process.kill()
        process.join()
    assert not alive, "some wait for each other for ever"
    told = []
    for call, process in zip(calls, processes, strict=True):
        assert process.exitcode == 0, Path(call.said).read_text()
        told.append(json.loads(Path(call.said).read_text()))
    return told


@contextmanager
def waiting(call: Call, place: str, wait: Path, *, fails: bool = False) -> Iterator[None]:
    """Run a call in a child that stands at a place meanwhile, then let it go on to its end."""
    stops = {"DATATRANSFER_FAILPOINT": place, "DATATRANSFER_FAILPOINT_WAIT": str(wait)}
    environment = {**call.environment, **stops}
    process = Call(**{**vars(call), "environment": environment}).start()
    until = time.monotonic() + 60
    while not wait.exists() and process.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    try:
        assert wait.exists(), Path(call.said).read_text()
        yield
    finally:
        wait.unlink(missing_ok=True)
        process.join(120)
    assert (process.exitcode == 0) is not fails, Path(call.said).read_text()


def _child(call: Call) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(call.environment)
    if limit := call.environment.get("DATATRANSFER_TEST_FILE_SIZE"):  # a disk that is full at that size of a file
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    if call.environment.get("DATATRANSFER_TEST_STRAIGHT"):
        from datatransfer.importing import straight

        straight.LEAST_ROWS = 0
    if user := call.environment.get("DATATRANSFER_TEST_USER"):
        # Done once elsewhere before: that user may not be able to read the modules that are loaded on the way.
        VERBS[call.verb](replace(call, url=call.environment["DATATRANSFER_TEST_REHEARSAL"]))
        os.setresuid(int(user), int(user), int(user))
    try:
        if begun := call.environment.get("DATATRANSFER_TEST_BEGUN"):
            Path(begun).touch()
        VERBS[call.verb](call)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # too late
    except KeyboardInterrupt as error:
        Path(call.said).write_text(str(error))
        os._exit(INTERRUPTED)
    except BaseException:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if call.said:
            Path(call.said).write_text(traceback.format_exc())
        os._exit(1)


def _opened(call: Call) -> tuple[Any, Any]:
    import datatransfer as dt

    files = {"attachments.path": dt.FolderStore(call.files)} if call.files else None
    return dt, dt.Database(call.url, files=files)


def _import(call: Call) -> None:
    dt, db = _opened(call)
    with db:
        options = dict(call.options)
        rows = options.pop("checkpoint_rows", 1 << 18)
        importer = dt.PackageImporter(dt.DataPackage.open(call.package), db, checkpoint_rows=rows)
        importer.run(**options)


def _carry_out(call: Call) -> None:
    """Plan, and carry the plan out."""
    dt, db = _opened(call)
    with db:
        importer = dt.PackageImporter(dt.DataPackage.open(call.package), db)
        importer.run(importer.plan(**call.options))


def _tell(call: Call) -> None:
    """Import when the file ``go`` is there, after ``delay`` seconds more, and tell how that ended, an error's code."""
    dt, db = _opened(call)
    options = dict(call.options)
    go, delay, tries = options.pop("go", None), options.pop("delay", 0.0), options.pop("tries", 1)
    with db, dt.DataPackage.open(call.package) as package:
        _ = db.schema
        while go and not Path(go).exists():
            time.sleep(0.002)
        time.sleep(delay)
        told: list[Any] = []
        for _ in range(tries):
            try:
                receipt = dt.PackageImporter(package, db).run(**options)
            except dt.DataTransferError as error:
                told.append([error.code, error.retryable, str(error)])
                if error.retryable:
                    continue
            else:
                told.append(["merged" if receipt.recorded else "nothing", False, " ".join(receipt.warnings)])
            break
        Path(call.said).write_text(json.dumps(told))


def _resume(call: Call) -> None:
    """Do what a person would: resume, and if there is nothing to resume, run."""
    dt, db = _opened(call)
    with db:
        options = dict(call.options)
        rows = options.pop("checkpoint_rows", 1 << 18)
        importer = dt.PackageImporter(dt.DataPackage.open(call.package), db, checkpoint_rows=rows)
        try:
            importer.resume()
        except dt.UsageError:
            importer.run(**options)


def _undo(call: Call) -> None:
    dt, db = _opened(call)
    with db:
        dt.receipt(db, call.options["import_id"]).undo()


def _export(call: Call) -> None:
    dt, db = _opened(call)
    with db:
        dt.PackageBuilder(db).add_all().build(call.package, progress=False, **call.options)


def _cli(call: Call) -> None:
    """Run a command; what it writes to standard error goes into the file."""
    from datatransfer.cli import main

    with Path(call.said).open("w") as said, Path(os.devnull).open("w") as nowhere:
        sys.stderr, sys.stdout = said, nowhere
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = main(call.options["arguments"])
    os._exit(code)


VERBS: dict[str, Callable[[Call], None]] = {
    "import": _import, "carry out": _carry_out, "tell": _tell, "resume": _resume, "undo": _undo, "export": _export,
    "cli": _cli,
}  # fmt: skip
