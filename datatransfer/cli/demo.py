"""``datatransfer demo``: the whole story on two small databases, in a temporary folder, with what it did at each step.

1. A catalogue of datasets, made up: rows in SQLite, files in a folder.
2. Choose one of its datasets with everything that belongs to it.
3. Export that into a package, and look inside.
4. Import it into a second database, which has rows of its own under the same keys.
5. Prove that what arrived is what was sent: rows, files, and nothing else touched.
6. Import it again: nothing is written.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer.cli.looking import stored_bytes
from datatransfer.cli.output import Output, records
from datatransfer.display.plain import aligned, counted, size, visible
from datatransfer.errors import UsageError

if TYPE_CHECKING:
    from datatransfer.database.connection import Database
    from datatransfer.importing.receipts import Receipt
    from datatransfer.package.package import DataPackage

DATASET = 3
"""The dataset that travels."""

MATCH_ON = {"tags": ["label"]}
"""Two tags with the same label are the same tag."""


@dataclass
class Story:
    """What was done, told as it happens, and kept for ``--json``."""

    out: Output
    steps: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, title: str, code: str) -> None:
        """Open a step: what it does, and the call that does it."""
        self.steps.append({"step": len(self.steps) + 1, "title": title, "code": code})
        self.out.say(f"\n{len(self.steps)}  {title}\n   >>> {code}")

    def tell(self, text: str, **facts: Any) -> None:
        """Say what came out of it, with the figures."""
        self.steps[-1].update(facts)
        self.out.say("\n".join(f"   {visible(line)}".rstrip() for line in text.splitlines()))


def demo(options: argparse.Namespace, out: Output) -> int:
    """Tell the story; exit with 1 if any proof fails."""
    started = time.perf_counter()
    story = Story(out)
    with _folder(options.keep) as folder:
        proofs = _journey(folder, story)
    seconds = time.perf_counter() - started
    proved = all(proofs.values())
    end = "Everything was proved" if proved else "NOT PROVED: " + ", ".join(k for k, v in proofs.items() if not v)
    kept = f"kept in {options.keep}" if options.keep else "the folder is gone again; --keep DIR keeps it"
    out.result(
        {"proved": proved, "proofs": proofs, "seconds": round(seconds, 2), "kept": options.keep, "steps": story.steps},
        f"\n{end}, in {seconds:.1f} s; {kept}.\nYour own database next: datatransfer tables sqlite:///yours.db",
    )
    return 0 if proved else 1


@contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep is None:
        # a database that is still open cannot be deleted on Windows; it goes with the temporary files then
        with tempfile.TemporaryDirectory(prefix="datatransfer-demo-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    folder = Path(keep)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError("the folder is not empty", where=keep, hint="name a new one")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


def _journey(folder: Path, story: Story) -> dict[str, bool]:
    """Take every step; return what was proved."""
    with _catalogue(folder, story) as source, _second(folder, story) as target:
        before = _rows(target)
        package = _export(source, folder, story)
        _look(package, story)
        receipt = _import(package, target, story)
        proofs = _prove(package, source, target, receipt, folder, story)
        proofs["the second database's own rows were not touched"] = not (before - _rows(target))
        proofs["importing again writes nothing"] = _again(package, target, story)
        return proofs


def _catalogue(folder: Path, story: Story) -> Database:
    from datatransfer.sample import sample_database

    story.begin("A made-up catalogue of datasets, with files", "db = sample_database(folder)")
    source = sample_database(folder / "first")
    tables = records(source.tables)
    files = [path for path in (folder / "first" / "files").rglob("*") if path.is_file()]
    shown = [(t["table"], t["rows"], t["references"]) for t in tables]
    total = sum(t["rows"] for t in tables)
    story.tell(
        f"{aligned(('table', 'rows', 'refers to'), shown)}\n\n"
        f"{counted(total, 'row')} in {counted(len(tables), 'table')}, {counted(len(files), 'file')} beside them",
        rows=total, tables=len(tables), files=len(files),
    )  # fmt: skip
    return source


def _second(folder: Path, story: Story) -> Database:
    from datatransfer.database.connection import Database
    from datatransfer.database.filestores import FolderStore
    from datatransfer.sample import FILES, create_schema

    story.begin(
        "A second database, in use: the same tables, other rows under the same keys", "target = dt.Database(url)"
    )
    (folder / "second").mkdir()
    url = f"sqlite:///{folder / 'second' / 'catalogue.db'}"
    create_schema(url)
    target = Database(url, files={FILES: FolderStore(folder / "second" / "files")})
    _add_somebody_elses_rows(target)
    total = sum(_rows(target).values())
    story.tell(f"{counted(total, 'row')}: somebody else's datasets 1 to 5, their owner, and the same tags", rows=total)
    return target


def _add_somebody_elses_rows(target: Database) -> None:
    import sqlalchemy as sa

    from datatransfer.sample.models import Dataset, DatasetVersion, Folder, Tag, User

    when = dt.datetime(2025, 5, 5, 5, 5, 5)
    people = [{"id": 1, "email": "mo@elsewhere.example", "name": "Mo", "active": True, "created": when}]
    datasets = [
        {"id": n, "owner_id": 1, "folder_id": 1, "name": f"theirs {n}", "public": False, "created": when}
        for n in range(1, 6)
    ]
    versions = [
        {"id": n, "dataset_id": n, "number": 1, "rows": n, "checksum": bytes(32), "created": when} for n in range(1, 6)
    ]
    tags = [{"id": n, "label": label} for n, label in enumerate(("personal", "daily", "raw", "open"), 1)]
    theirs: list[tuple[Any, list[dict[str, Any]]]] = [
        (User, people), (Folder, [{"id": 1, "name": "theirs"}]), (Tag, tags), (Dataset, datasets),
        (DatasetVersion, versions),
    ]  # fmt: skip
    with target.engine.begin() as conn:
        for model, rows in theirs:
            tracked = "entity_uuid" in model.__table__.c
            given = [{**row, "entity_uuid": uuid.uuid4()} for row in rows] if tracked else rows
            conn.execute(sa.insert(model.__table__), given)


def _rows(database: Database) -> Counter[tuple[Any, ...]]:
    """Return every row of the catalogue's tables as plain SQL gives it, our own bookkeeping left out."""
    import sqlalchemy as sa

    found: Counter[tuple[Any, ...]] = Counter()
    with database.engine.connect() as conn:
        for table in database.schema:
            rows = conn.execute(sa.text(f'SELECT * FROM "{table.name}"'))
            found.update((table.name, *row) for row in rows)
    return found


def _export(source: Database, folder: Path, story: Story) -> DataPackage:
    from datatransfer.exporting.builder import PackageBuilder

    story.begin(
        f"Take dataset {DATASET} with everything that belongs to it",
        f'package = dt.PackageBuilder(db).add("datasets", keys=[{DATASET}]).build("part.zip")',
    )
    builder = PackageBuilder(source, listener=story.out.listener).add("datasets", keys=[DATASET])
    counts = [(row["table"], row["rows"], row["because"]) for row in records(builder.preview().counts)]
    package = builder.build(folder / "part.zip")
    rows, stored = sum(row[1] for row in counts), stored_bytes(folder / "part.zip")
    story.tell(
        f"{aligned(('table', 'rows', 'why'), counts)}\n\n"
        f"part.zip: {counted(rows, 'row')}, {counted(len(package.files), 'file')}, {size(stored)}",
        rows=rows, files=len(package.files), bytes=stored,
    )  # fmt: skip
    return package


def _look(package: DataPackage, story: Story) -> None:
    story.begin("Open the package and look inside, without any database", 'package["dataset_versions"].to_frame()')
    frame = package["dataset_versions"].to_frame()
    shown = records(frame[["id", "dataset_id", "number", "rows"]])
    findings = len(package.verify().findings)
    story.tell(
        f"{aligned(list(shown[0]), [list(row.values()) for row in shown])}\n\n"
        f"digest   {package.digest}\nverified {counted(findings, 'finding')} in members, hashes, rows and references",
        digest=package.digest, findings=findings,
    )  # fmt: skip


def _import(package: DataPackage, target: Database, story: Story) -> Receipt:
    from datatransfer.importing.importer import PackageImporter

    story.begin(
        "Bring it into the second database, all of it or nothing",
        f"receipt = dt.PackageImporter(package, target).run(match_on={MATCH_ON})",
    )
    receipt = PackageImporter(package, target, listener=story.out.listener).run(match_on=MATCH_ON)
    columns = ("table", "inserted", "updated", "reused", "skipped")
    shown = [[row[name] for name in columns] for row in records(receipt.summary)]
    reused = int(receipt.summary["reused"].sum())
    story.tell(
        f"{aligned(columns, shown)}\n\n"
        f"{counted(reused, 'tag')} was there already under another key, and is used\n"
        f"dataset {DATASET} was somebody else's already: it became dataset {_new_key(receipt)} there",
        tables=records(receipt.summary), dataset=_new_key(receipt),
    )  # fmt: skip
    return receipt


def _new_key(receipt: Receipt) -> int:
    keys = receipt.id_map("datasets")
    return int(keys.loc[keys["source.id"] == DATASET, "target.id"].iloc[0])


def _prove(
    package: DataPackage, source: Database, target: Database, receipt: Receipt, folder: Path, story: Story
) -> dict[str, bool]:
    from datatransfer.exporting.builder import PackageBuilder

    story.begin(
        "Prove it: take the same part out of the second database again, and compare", "again.digest == package.digest"
    )
    key = _new_key(receipt)
    builder = PackageBuilder(target, listener=story.out.listener).add("datasets", keys=[key])
    again = builder.build(folder / "again.zip")
    sent, arrived = _file_hashes(source, DATASET), _file_hashes(target, key)
    proofs = {
        "rows arrived as they were sent": again.digest == package.digest,
        "files arrived byte for byte": bool(sent) and sent == arrived,
    }
    story.tell(
        f"digest   {again.digest}\n"
        f"files    {counted(len(arrived), 'file')} with the same sha256 on both sides",
        digest=again.digest, files=len(arrived), proofs=dict(proofs),
    )  # fmt: skip
    return proofs


def _file_hashes(database: Database, dataset: int) -> list[str]:
    """Return the hashes of a dataset's files, found by plain SQL and read from the folder."""
    import sqlalchemy as sa

    query = sa.text(
        "SELECT a.path FROM attachments a JOIN dataset_versions v ON v.id = a.version_id WHERE v.dataset_id = :dataset"
    )
    (store,) = database.files.values()
    with database.engine.connect() as conn:
        paths = [str(row[0]) for row in conn.execute(query, {"dataset": dataset})]
    hashes = []
    for path in paths:
        with store.open(path) as file:
            hashes.append(hashlib.sha256(file.read()).hexdigest())
    return sorted(hashes)


def _again(package: DataPackage, target: Database, story: Story) -> bool:
    from datatransfer.importing.importer import PackageImporter

    story.begin("Import the same package again", "dt.PackageImporter(package, target).run()")
    before = _rows(target)
    receipt = PackageImporter(package, target, listener=story.out.listener).run(match_on=MATCH_ON)
    written = int(receipt.summary["inserted"].sum() + receipt.summary["updated"].sum())
    story.tell(f"{counted(written, 'row')} written: it was all there already", written=written)
    return written == 0 and before == _rows(target)
