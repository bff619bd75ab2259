"""Fills the sample catalogue: any size, and the same rows and files for the same seed.

Rows are made as columns by one seeded generator and inserted in bulk, a table at a time.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
import random
import struct
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable

from datatransfer.database.filestores import FolderStore

if TYPE_CHECKING:
    from datatransfer.database.connection import Database

FILES = "attachments.path"
_START = dt.datetime(2026, 1, 1, 8, 0, 0)
_BATCH = 5_000
_FIRST = (
    "Ada",
    "Blaise",
    "Chien-Shiung",
    "Dorothy",
    "Emmy",
    "Fei-Fei",
    "Grace",
    "Hypatia",
    "Ibn",
    "Jóhannes",
    "Кира",
    "李",
)
_LAST = (
    "Lovelace",
    "Pascal",
    "Wu",
    "Hodgkin",
    "Noether",
    "Li",
    "Hopper",
    "Müller",
    "Sahl",
    "O'Neil",
    "Ковальская",
    "娜",
)
_THINGS = ("weather", "traffic", "proteins", "galaxies", "prices", "soil", "birds", "tides", "votes", "words")
_TAGS = ("open", "raw", "daily", "géo", "checked", "sensor", "archive", "α-stage", "2026", "personal")

Row = dict[str, Any]


def create_schema(url: str | sa.URL | sa.Engine) -> None:
    """Create the empty tables of the catalogue.

    Parameters
    ----------
    url : str, sqlalchemy.URL or sqlalchemy.Engine
        An empty database.
    """
    with _engine(url) as engine:
        _create_tables(engine)


def create_sample(
    url: str | sa.URL | sa.Engine, files_dir: str | os.PathLike[str], *, seed: int = 0, size: int = 24
) -> Database:
    """Create the catalogue with its rows and files, and return it opened.

    Parameters
    ----------
    url : str, sqlalchemy.URL or sqlalchemy.Engine
        An empty database.
    files_dir : path
        Where the attached files go.
    seed : int
        The same seed and size give the same rows and the same bytes.
    size : int
        How many datasets; everything else grows with it, about nine rows a dataset.

    Returns
    -------
    Database
        With ``files`` set, so that a package carries the attached files.
    """
    from datatransfer.database.connection import Database

    store = FolderStore(files_dir)
    with _engine(url) as engine:
        _create_tables(engine)
        with engine.begin() as conn:
            _fill(conn, store, random.Random(seed), size)  # noqa: S311 - repeatable, not secret
            _count_on(conn)
    return Database(url, files={FILES: store})


def sample_database(folder: str | os.PathLike[str], *, seed: int = 0, size: int = 24) -> Database:
    """Make the catalogue in a folder, as ``catalogue.db`` and ``files/``, or open it if it is there.

    Examples
    --------
    >>> import tempfile
    >>> with sample_database(tempfile.mkdtemp(), size=3) as db:
    ...     db.count("dataset_versions") > 3
    True
    """
    from datatransfer.database.connection import Database

    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    path, files = home / "catalogue.db", home / "files"
    if path.exists():
        return Database(f"sqlite:///{path}", files={FILES: FolderStore(files)})
    return create_sample(f"sqlite:///{path}", files, seed=seed, size=size)


def _create_tables(engine: sa.Engine) -> None:
    """Create what is missing of the tables, in an order that does not change from run to run.

    ``MetaData.create_all`` takes indexes from a set. And where it adds the foreign keys of a cycle by ALTER TABLE, it
    marks them in the models' own metadata as not to be written inline (sqlalchemy/sqlalchemy#12382), so that the next
    SQLite file made by the same process would lack them.
    """
    from datatransfer.sample.models import Base, Dataset

    cycle = [fk.constraint for fk in Dataset.__table__.c.current_version_id.foreign_keys]
    with engine.begin() as conn:
        there = set(sa.inspect(conn).get_table_names())
        missing = [table for name, table in Base.metadata.tables.items() if name not in there]
        alters = conn.dialect.supports_alter
        for table in missing:
            inline = [key for key in table.foreign_key_constraints if not (alters and key in cycle)]
            conn.execute(CreateTable(table, include_foreign_key_constraints=inline))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                conn.execute(CreateIndex(index))
        for constraint in cycle:
            if alters and constraint is not None and constraint.table in missing:
                conn.execute(AddConstraint(constraint, isolate_from_table=False))


@contextmanager
def _engine(url: str | sa.URL | sa.Engine) -> Iterator[sa.Engine]:
    """Open an engine and dispose of it again; an engine of the caller's is left alone."""
    if isinstance(url, sa.Engine):
        yield url
        return
    engine = sa.create_engine(url, hide_parameters=True)
    try:
        yield engine
    finally:
        engine.dispose()


# --- the rows -------------------------------------------------------------------------------------------------------


def _fill(conn: sa.Connection, store: FolderStore, dice: random.Random, size: int) -> None:
    from datatransfer.sample import models

    users = _users(dice, max(3, size // 8))
    folders = _folders(dice, max(4, size // 6))
    sources = _sources(max(2, size // 40))
    datasets = _datasets(dice, size, len(users), len(sources), len(folders))
    versions = _versions(dice, datasets)
    _insert(conn, models.User, users)
    _insert(conn, models.DataSource, sources)
    _insert(conn, models.Folder, folders)
    _insert(conn, models.Tag, [{"id": n, "label": label} for n, label in enumerate(_TAGS, 1)])
    _insert(conn, models.Dataset, datasets)
    _insert(conn, models.DatasetVersion, versions)
    _point_at_current(conn, models.Dataset, models.DatasetVersion)
    _insert(conn, models.DatasetTag, _dataset_tags(dice, size))
    _insert(conn, models.Attachment, list(_attachments(dice, store, versions)))


def _insert(conn: sa.Connection, model: Any, rows: Sequence[Row]) -> None:
    for start in range(0, len(rows), _BATCH):
        conn.execute(sa.insert(model.__table__), rows[start : start + _BATCH])


def _point_at_current(conn: sa.Connection, dataset: Any, version: Any) -> None:
    """Close the cycle: the newest version of each dataset is its current one."""
    newest = sa.select(sa.func.max(version.id)).where(version.dataset_id == dataset.id).scalar_subquery()
    conn.execute(sa.update(dataset.__table__).values(current_version_id=newest))


def _count_on(conn: sa.Connection) -> None:
    """Let PostgreSQL's sequences go on behind the keys that were given."""
    from datatransfer.sample.models import Base

    if conn.dialect.name != "postgresql":
        return
    for table in Base.metadata.tables.values():
        if "id" in table.c:
            sequence = sa.func.pg_get_serial_sequence(table.name, "id")
            conn.execute(sa.select(sa.func.setval(sequence, sa.select(sa.func.max(table.c.id)).scalar_subquery())))


def _uuid(dice: random.Random) -> uuid.UUID:
    return uuid.UUID(int=dice.getrandbits(128), version=4)


def _moment(dice: random.Random) -> dt.datetime:
    return _START + dt.timedelta(seconds=dice.randrange(180 * 86400), microseconds=dice.randrange(10**6))


def _users(dice: random.Random, count: int) -> list[Row]:
    rows = []
    for n in range(1, count + 1):
        first, last = dice.choice(_FIRST), dice.choice(_LAST)
        rows.append(
            {
                "id": n,
                "entity_uuid": _uuid(dice),
                "imported_from_uuid": None,
                "email": f"user{n}@example.org",
                "name": f"{first} {last}",
                "active": dice.random() < 0.9,
                "created": _moment(dice),
            }
        )
    return rows


def _sources(count: int) -> list[Row]:
    return [
        {
            "id": n,
            "name": f"source-{n}",
            "settings": {"format": "csv", "retries": n, "ratio": 0.5, "path": ["in", str(n)]},
        }
        for n in range(1, count + 1)
    ]


def _folders(dice: random.Random, count: int) -> list[Row]:
    """Make a tree of which the first node is the root."""
    return [
        {"id": n, "parent_id": None if n == 1 else dice.randrange(max(1, n // 3), n), "name": f"folder-{n}"}
        for n in range(1, count + 1)
    ]


def _datasets(dice: random.Random, size: int, users: int, sources: int, folders: int) -> list[Row]:
    rows = []
    for n in range(1, size + 1):
        thing = dice.choice(_THINGS)
        rows.append(
            {
                "id": n,
                "entity_uuid": _uuid(dice),
                "imported_from_uuid": None,
                "owner_id": dice.randint(1, users),
                "source_id": None if dice.random() < 0.2 else dice.randint(1, sources),
                "folder_id": dice.randint(1, folders),
                "current_version_id": None,
                "name": f"{thing} {n}",
                # NULL, empty and text with line ends are three different things.
                "description": dice.choice((None, "", f"All the {thing}.\nChecked by hand — „really“.")),
                "price": None if dice.random() < 0.3 else Decimal(dice.randrange(10**6)).scaleb(-2),
                "quality": None if dice.random() < 0.1 else dice.random(),
                "public": dice.random() < 0.5,
                "created": _moment(dice),
            }
        )
    return rows


def _versions(dice: random.Random, datasets: Sequence[Row]) -> list[Row]:
    rows: list[Row] = []
    for dataset in datasets:
        for number in range(1, dice.randint(1, 3) + 1):
            count = dice.randrange(2**40)
            rows.append(
                {
                    "id": len(rows) + 1,
                    "dataset_id": dataset["id"],
                    "number": number,
                    "rows": count,
                    "checksum": hashlib.sha256(f"{dataset['id']}/{number}".encode()).digest(),
                    "statistics": None if number == 1 else {"rows": count, "columns": ["a", "é"], "ok": True},
                    "created": dataset["created"] + dt.timedelta(days=number),
                }
            )
    return rows


def _dataset_tags(dice: random.Random, size: int) -> list[Row]:
    return [
        {"dataset_id": n, "tag_id": tag}
        for n in range(1, size + 1)
        for tag in sorted(dice.sample(range(1, len(_TAGS) + 1), dice.randint(0, 3)))
    ]


# --- the files ------------------------------------------------------------------------------------------------------


def _attachments(dice: random.Random, store: FolderStore, versions: Sequence[Row]) -> Iterator[Row]:
    """Yield one row for each attached file, after writing the file."""
    number = 0
    for version in versions:
        if dice.random() < 0.4:
            continue
        number += 1
        suffix = dice.choice(tuple(_CONTENTS))
        media_type, content = _content(dice, suffix)
        path = f"{version['dataset_id']:04d}/v{version['number']}-{number}.{suffix}"
        store.write(path, io.BytesIO(content), hashlib.sha256(content).hexdigest())
        yield {
            "id": number,
            "version_id": version["id"],
            "path": path,
            "media_type": media_type,
            "bytes": len(content),
        }


def _content(dice: random.Random, suffix: str) -> tuple[str, bytes]:
    media_type, make = _CONTENTS[suffix]
    return media_type, make(dice)


def _csv(dice: random.Random) -> bytes:
    lines = [f"{n},{dice.gauss(0, 1):.6f}" for n in range(dice.randint(5, 60))]
    return "\n".join(["n,value", *lines, ""]).encode()


def _text(_dice: random.Random) -> bytes:
    # The same for all: many rows refer to equal content, which a package stores once.
    return "Free to use.\nNutzung frei – ohne Gewähr.\n".encode()


def _png(dice: random.Random) -> bytes:
    """Draw a square of random greys that every viewer can open."""
    side = 16
    pixels = b"".join(b"\0" + dice.randbytes(side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 0)), (b"IEND", b""))
    )


_CONTENTS: Mapping[str, tuple[str, Any]] = {
    "csv": ("text/csv", _csv),
    "txt": ("text/plain", _text),
    "png": ("image/png", _png),
}
