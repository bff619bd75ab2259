"""Commands in this process, and a small shop in a folder to run them on."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datatransfer.cli import main

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), placed TEXT NOT NULL);
CREATE TABLE items (
    order_id INTEGER NOT NULL REFERENCES orders (id), line INTEGER NOT NULL, product TEXT NOT NULL, price NUMERIC,
    PRIMARY KEY (order_id, line));
CREATE TABLE audit (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders (id), what TEXT);
CREATE TABLE attachments (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), path TEXT);
CREATE VIEW totals AS SELECT order_id, sum(price) AS total FROM items GROUP BY order_id;
"""
ROWS = """
INSERT INTO customers VALUES (41, 'ann@example.org', 'Ann'), (42, 'bob@example.org', 'Bob');
INSERT INTO orders VALUES (1, 41, '2025-12-30'), (2, 42, '2026-01-02'), (3, 42, '2026-02-03');
INSERT INTO items VALUES (1, 1, 'lamp', 20), (2, 1, 'chair', 49.5), (2, 2, 'table', 120), (3, 1, 'rug', 80);
INSERT INTO audit VALUES (1, 2, 'placed'), (2, 3, 'placed');
INSERT INTO attachments VALUES (1, 2, 'invoice.txt');
"""


@dataclass
class Shop:
    """A small shop, an empty one beside it, and a folder with its one file."""

    folder: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'shop.db'}"

    @property
    def copy(self) -> str:
        return f"sqlite:///{self.folder / 'copy.db'}"

    @property
    def files(self) -> str:
        return f"attachments.path={self.folder / 'uploads'}"

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def rows(self, database: str, query: str) -> list[tuple[Any, ...]]:
        """Return what a query of one of the databases gives."""
        with closing(sqlite3.connect(self.folder / database)) as connection:
            return connection.execute(query).fetchall()


def make(path: Path, script: str) -> None:
    """Run a script in a database file, new or not."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def make_shop(folder: Path) -> Shop:
    """Make the databases and the file of a shop in a folder."""
    make(folder / "shop.db", SHOP + ROWS)
    make(folder / "copy.db", SHOP)
    (folder / "uploads").mkdir()
    (folder / "uploads" / "invoice.txt").write_text("to pay: 169.50\n")
    return Shop(folder)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run a command in this process, check its exit code, return its standard output."""
    assert main(arguments) == code, capsys.readouterr().err
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Return the JSON document of a command."""
    return json.loads(said(capsys, *arguments, "--json", code=code))


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    """Run a command that fails, return what it wrote to standard error."""
    assert main(arguments) == code
    heard = capsys.readouterr()
    assert heard.out == ""
    return heard.err


def by_table(document: Any) -> dict[str, dict[str, Any]]:
    """Return the rows of a document by the table they are about."""
    return {row["table"]: row for row in document["tables"]}
