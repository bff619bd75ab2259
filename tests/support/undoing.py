"""What undo is tried on: a shop; and a target with an import, as a scene in which processes are killed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import datatransfer as dt
from datatransfer.sample import create_sample
from tests.support.children import Call
from tests.support.copies import full_copy
from tests.support.digest import DatabaseDigest, assert_equal, exact_digest
from tests.support.scenes import contents, leftovers
from tests.support.servers import Databases
from tests.support.sql import connected, run
from tests.support.transfer import SAMPLE_FILES, export_all

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, email VARCHAR(50) UNIQUE, name VARCHAR(50), balance NUMERIC(10,2),
    score DOUBLE PRECISION);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, parent_id INTEGER, note VARCHAR(50),
    FOREIGN KEY (customer_id) REFERENCES customers (id), FOREIGN KEY (parent_id) REFERENCES orders (id));
CREATE TABLE items (order_id INTEGER NOT NULL, sku VARCHAR(20) NOT NULL, amount INTEGER, PRIMARY KEY (order_id, sku),
    FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE);
CREATE TABLE notes (item_order INTEGER, item_sku VARCHAR(20), body VARCHAR(50),
    FOREIGN KEY (item_order, item_sku) REFERENCES items (order_id, sku))
"""


def shop(databases: Databases, dialect: str, name: str, *, first: int = 1, count: int = 10) -> str:
    """Make a shop with integer keys from ``first`` on; every second note is there twice."""
    url = databases.create(dialect)
    run(url, *SHOP.split(";"))
    with connected(url) as connection:
        for k in range(first, first + count):
            run_with(
                connection, "INSERT INTO customers VALUES (?, ?, ?, ?, ?)", k, f"{k}@example.org", name, "1.50", k / 3
            )
        for k in range(first, first + count):
            above = k - 1 if k > first and k % 3 else None
            run_with(connection, "INSERT INTO orders VALUES (?, ?, ?, ?)", k, k, above, f"{name} {k}")
            run_with(connection, "INSERT INTO items VALUES (?, ?, ?)", k, "a", k)
            for _ in range(1 + k % 2):
                run_with(connection, "INSERT INTO notes VALUES (?, ?, ?)", k, "a", "the same")
    return url


def run_with(connection: sa.Connection, statement: str, *values: object) -> None:
    """Run a statement with values for its question marks."""
    for number in range(len(values)):
        statement = statement.replace("?", f":v{number}", 1)
    connection.execute(sa.text(statement), {f"v{n}": value for n, value in enumerate(values)})


def application(digest: DatabaseDigest) -> DatabaseDigest:
    """Leave our own tables out."""
    return digest.without([name for name in digest.tables if name.startswith("datatransfer_")])


@dataclass
class UndoScene:
    """A target that a package was imported into, and what it was before."""

    databases: Databases
    folder: Path
    package: Path
    target: str
    import_id: str
    wanted: DatabaseDigest
    wanted_files: dict[str, str]

    def fresh(self, **environment: str) -> Call:
        """Return the call of an undo in a fresh copy."""
        files, said = self.folder / "files", self.folder / "said.txt"
        shutil.rmtree(files, ignore_errors=True)
        shutil.copytree(self.folder / "target-files", files)
        said.unlink(missing_ok=True)
        url = full_copy(self.target, self.databases)
        options = {"import_id": self.import_id}
        return Call("undo", str(self.package), url, str(files), options, environment, str(said))

    def again(self, call: Call) -> bool:
        """Call undo once more; return whether it was already done."""
        with dt.Database(call.url, files={SAMPLE_FILES: dt.FolderStore(call.files)}) as db:
            try:
                dt.receipt(db, self.import_id).undo()
            except dt.AlreadyUndoneError:
                return True
        return False

    def check(self, call: Call) -> None:
        """Fail unless database and files are as before the import, with one undo recorded and no stage left."""
        assert_equal(self.wanted, application(exact_digest(call.url)))
        assert contents(Path(call.files)) == self.wanted_files
        assert leftovers(call.url) == []
        with dt.Database(call.url) as db:
            assert list(dt.receipts(db)["state"]) == ["undone", "merged"]
            assert dt.stages(db).empty
            assert set(dt.receipt(db, self.import_id).files["action"]) <= {"removed", "found"}
        self.databases.drop(call.url)


@contextmanager
def undo_scene(dialect: str, folder: Path, servers: Any) -> Iterator[UndoScene]:
    """Yield a scene on a dialect: an import of the sample that inserted and updated rows, not taken back yet."""
    databases = Databases(folder, servers)
    if dialect != "sqlite":
        databases.server(dialect)
    source, target, files = databases.create("sqlite"), databases.create(dialect), folder / "target-files"
    create_sample(source, folder / "source-files", seed=1, size=4)
    create_sample(target, files, seed=2, size=4)
    package = export_all(source, folder / "p.zip", files={SAMPLE_FILES: dt.FolderStore(folder / "source-files")})
    wanted, wanted_files = application(exact_digest(target)), contents(files)
    with dt.Database(target, files={SAMPLE_FILES: dt.FolderStore(files)}) as db:
        receipt = dt.PackageImporter(package, db).run(on_match="update", on_clash="reuse")
        assert receipt.total("update") > 0
        assert receipt.total("insert") > 0
    yield UndoScene(databases, folder, folder / "p.zip", target, str(receipt.import_id), wanted, wanted_files)
    databases.drop_all()
