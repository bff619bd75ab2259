"""The commands that look and change nothing: tables, inspect, verify, diff, receipts."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer.cli.output import Output, records
from datatransfer.cli.sources import database, is_address
from datatransfer.cli.wording import as_typed
from datatransfer.display.plain import aligned, size, visible
from datatransfer.errors import PackageError

if TYPE_CHECKING:
    from datatransfer.package.package import DataPackage

Document = Mapping[str, Any]


def text_of(rows: Sequence[Document], columns: Sequence[str] = (), *, nothing: str = "nothing") -> str:
    """Return JSON rows as aligned text: all columns, or those named that the rows have."""
    if not rows:
        return nothing
    names = [name for name in columns if name in rows[0]] or list(rows[0])
    return aligned(names, [[_cell(row[name]) for name in names] for row in rows])


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return ("yes" if value else "") if isinstance(value, bool) else value


def tables(options: argparse.Namespace, out: Output) -> int:
    """List the tables of a database."""
    with database(options.url, options) as source:
        document: dict[str, Any] = {
            "database": source.url_shown,
            "tables": records(source.tables),
            "left_out": [{**item, "reason": as_typed(item["reason"])} for item in records(source.left_out)],
        }
    text = text_of(document["tables"], nothing="there are no tables")
    if document["left_out"]:
        text += f"\n\nleft out:\n{text_of(document['left_out'])}"
    out.result(document, text)
    return 0


def inspect(options: argparse.Namespace, out: Output) -> int:
    """Look inside a package."""
    from datatransfer.package.package import DataPackage

    package = DataPackage.open(options.package)
    document, text = _rows_of(package, options) if options.table else _contents(package)
    out.result(document, text)
    return 0


def summary_of(package: DataPackage) -> dict[str, Any]:
    """Return what a package is, as JSON data."""
    metadata = package.metadata
    return {
        "package": str(package.path),
        "package_id": str(metadata.package_id),
        "format_version": metadata.format_version,
        "created": str(metadata.created),
        "encoding": metadata.encoding,
        "bytes": stored_bytes(Path(package.path)),
        "digest": metadata.digest,
        "tables": records(package.tables),
        "files": records(package.files),
        "left_out": package.left_out,
    }


def stored_bytes(path: Path) -> int:
    """Return how large a package is on disk, file or folder."""
    if path.is_dir():
        return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
    return path.stat().st_size


def _contents(package: DataPackage) -> tuple[Document, str]:
    document = summary_of(package)
    facts = [
        f"{package.path}: {size(document['bytes'])}, format {document['format_version']}, {document['encoding']}",
        f"id {document['package_id']}, made {document['created']}",
        f"digest {document['digest'] or 'not computed when it was made'}",
        *(f"left out: {table}.{column}" for table, columns in package.left_out.items() for column in columns),
    ]
    text = "\n".join(map(visible, facts)) + "\n\n" + text_of(document["tables"], nothing="no tables")
    if document["files"]:
        text += f"\n\n{package.manifest_data.counted_files()}:\n{text_of(document['files'])}"
    return document, text


def _rows_of(package: DataPackage, options: argparse.Namespace) -> tuple[Document, str]:
    from datatransfer.schema.values import to_json

    table = package.schema.table(options.table)
    names = table.column_names
    rows: list[dict[str, Any]] = []
    for batch in islice(package.batches(options.table, batch_rows=options.head), 1):
        first = batch.slice(0, options.head)
        columns = [to_json(first.column(name).to_pylist(), table.column(name).type) for name in names]
        rows += [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    document = {"package": str(package.path), "table": table.name, "rows": rows}
    return document, aligned(names, [[_shown(row[name]) for name in names] for row in rows])


def _shown(value: Any) -> Any:
    # numbers of rows are often keys and years: no thousands separators
    return value if value is None or isinstance(value, str) else str(value)


def verify(options: argparse.Namespace, out: Output) -> int:
    """Check a package wholly."""
    from datatransfer.package.package import DataPackage

    report = DataPackage.open(options.package).verify()
    findings = [dict(vars(finding)) for finding in report.findings]
    document = {"package": options.package, "ok": report.ok, "findings": findings}
    told = f"{report.words}\n\n" if findings and report.ok else ""
    out.result(document, told + text_of(findings, nothing=report.words))
    return 0 if report.ok else PackageError.exit_code


def diff(options: argparse.Namespace, out: Output) -> int:
    """Compare two packages or databases, entity by entity."""
    with ExitStack() as stack:
        first, second = (_side(typed, options, stack) for typed in (options.first, options.second))
        frame = first.diff(second)
    # a package is a part of something: what else a database holds is no difference
    databases = is_address(options.first), is_address(options.second)
    if databases == (False, True):
        frame = frame[frame["table"].isin(list(first)) & (frame["change"] != "added")]
    if databases == (True, False):
        frame = frame[frame["table"].isin(list(second)) & (frame["change"] != "removed")]
    differences = records(frame)
    text = text_of([_told(difference) for difference in differences], nothing="no difference")
    out.result({"equal": not differences, "differences": differences}, text)
    return 1 if differences else 0


def _told(difference: Document) -> Document:
    """Return a changed field with values that can be told apart: NULL, nothing, and texts that end with spaces."""
    if difference["change"] != "changed":
        return difference
    return {**difference, **{side: _distinct(difference[side]) for side in ("before", "after")}}


def _distinct(value: Any) -> Any:
    if value is None:
        return "NULL"
    return repr(value) if isinstance(value, str) and (value != value.strip() or value in ("", "NULL")) else value


def _side(typed: str, options: argparse.Namespace, stack: ExitStack) -> DataPackage:
    """Open a package; of a database, one made of all its rows, which know what was imported and from where."""
    from datatransfer.exporting.builder import PackageBuilder
    from datatransfer.package.package import DataPackage

    if not is_address(typed):
        return stack.enter_context(DataPackage.open(typed))
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="datatransfer-diff-"))
    source = stack.enter_context(database(typed, options))
    everything = PackageBuilder(source).add_all()
    package = everything.build(
        Path(folder, "all.zip"), progress=False, encoding="columns", on_orphan="keep", on_missing_file="skip"
    )
    return stack.enter_context(package)


def receipts(options: argparse.Namespace, out: Output) -> int:
    """List the imports into a database, or show one."""
    from datatransfer.importing.listing import receipts
    from datatransfer.importing.receipts import receipt

    with database(options.url, options) as target:
        if options.import_id is None:
            listed = records(receipts(target))
            out.result({"receipts": listed}, text_of(listed, nothing="nothing was imported into this database"))
            return 0
        one = receipt(target, options.import_id)
        document: dict[str, Any] = {
            "import_id": str(one.import_id), "kind": one.kind, "undo_of": one.undo_of, "state": one.state,
            "tables": records(one.summary), "files": records(one.files), "warnings": list(map(str, one.warnings)),
        }  # fmt: skip
        story = one.story()
    out.result(document, story)
    return 0
