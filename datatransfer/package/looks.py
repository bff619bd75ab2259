"""How a package and its two documents look in a notebook: at a glance, made from what was read when it was opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datatransfer.display import blocks
from datatransfer.display.plain import counted

if TYPE_CHECKING:
    from datatransfer.package.manifest import Manifest, TableEntry
    from datatransfer.package.metadata import PackageMetadata
    from datatransfer.package.package import DataPackage
    from datatransfer.package.report import Report

_FILES = 20


def package_html(package: DataPackage, *, calls: bool = True) -> str:
    """Return a package as HTML: what it is, from where and when, its tables and files, and whether it was verified.

    Parameters
    ----------
    package : DataPackage
    calls : bool
        Whether it names the call that verifies it; a form has a button for that.
    """
    metadata, manifest = package.metadata, package.manifest_data
    counts = metadata.counts
    held = ", ".join((
        blocks.plural(counts["rows"], "row"), blocks.plural(counts["tables"], "table"),
        manifest.counted_files(),
    ))  # fmt: skip
    left_out = ", ".join(f"{name}.{column}" for name, columns in package.left_out.items() for column in columns)
    chosen = [("chosen", selection_words(metadata.selection)), ("left out", left_out)]
    facts = blocks.facts([("holds", held), ("size", _size(package)), *origin_facts(metadata), *chosen])
    parts = [verified(package.report, calls=calls), facts, _tables(manifest)]
    if manifest.files:
        parts.append(_files(manifest))
    parts.append(blocks.fold("format", blocks.facts(_format_facts(metadata))))
    return blocks.block(f"Package {package.path.name}", *parts)


def _size(package: DataPackage) -> str:
    """Say how large a package is: the file itself, as folders list it, and what it holds when it is unpacked."""
    unpacked = str(blocks.size(package.metadata.counts["bytes"]))
    if not package.path.is_file():  # a folder; or it was removed since it was opened
        return unpacked
    return f"{blocks.size(package.path.stat().st_size)}; rows and files alone, unpacked: {unpacked}"


def verified(report: Report | None, *, calls: bool = True) -> str:
    """Say whether a package was verified, and with what result."""
    if report is None:
        return blocks.note("quiet", f"not verified yet{': package.verify()' if calls else ''}")
    if not report:
        title = blocks.plural(len(report.errors), "error")
        return blocks.note("bad", f"verified: {title}", blocks.listing(report.errors, limit=5))
    if not len(report):
        return blocks.note("good", f"verified: {report.words}")
    told = [f"{finding.where}: {finding.message}" for finding in report]
    return blocks.note("warn", f"verified: {report.words}", blocks.listing(told, limit=5))


def origin_facts(metadata: PackageMetadata) -> list[tuple[str, object]]:
    """Return from where and when a package is."""
    return [
        ("from", f"{metadata.dialect} database, origin {metadata.origin}"),
        ("at revision", metadata.source_revision or ""),
        ("made", f"{metadata.created:%Y-%m-%d %H:%M} UTC by {metadata.created_by}"),
    ]


def selection_words(selection: Mapping[str, Any]) -> str:
    """Say how the rows were chosen, as far as a reader may rely on it.

    Examples
    --------
    >>> selection_words({"roots": [{"table": "orders", "keys": [[1], [2]]}, {"table": "users"}]})
    'orders by 2 keys; users, with all that belongs to them'
    """
    if selection.get("everything") is True:
        return "everything"
    found = selection.get("roots")
    roots = [root for root in found if isinstance(root, Mapping)] if isinstance(found, list) else []
    words = []
    for root in roots[:8]:
        keys = root.get("keys")
        by = f" by {counted(len(keys), 'key')}" if isinstance(keys, list) else ""
        words.append(f"{root.get('table')}{by}")
    more = [f"and {len(roots) - 8:,} more"] if len(roots) > 8 else []
    return "; ".join([*words, *more]) + ", with all that belongs to them" if words else ""


def _tables(manifest: Manifest) -> str:
    """List the tables as they stand; of too many, the largest."""
    entries = list(manifest.tables)
    told = ""
    if len(entries) > blocks.MAX_ROWS:
        entries.sort(key=lambda entry: (-entry.rows, entry.table.name))
        told = blocks.note("quiet", "the largest tables first")
    most = max((entry.rows for entry in entries), default=0)
    sizes = {entry.table.name: size_of(entry) for entry in entries}
    heaviest = max(sizes.values(), default=0)
    rows = [
        (entry.table.name, entry.rows, blocks.share(entry.rows, most), blocks.size(size),
         blocks.share(size, heaviest), ", ".join(entry.table.key) or "none")
        for entry in entries if (size := sizes[entry.table.name]) >= 0
    ]  # fmt: skip
    return told + blocks.table(("table", "rows", "", "size, unpacked", "", "key"), rows, nothing="no tables")


def size_of(entry: TableEntry) -> int:
    """Return how many bytes the members of a table take."""
    return sum(part.bytes for part in entry.parts)


def _files(manifest: Manifest) -> str:
    rows = [
        (file.references[0].name if file.references else file.sha256, file.bytes,
         blocks.plural(len(file.references), "row"), f"missing: {file.missing}" if file.missing else "")
        for file in manifest.files[:_FILES]
    ]  # fmt: skip
    listed = blocks.table(("file", "bytes", "referred to by", ""), rows)
    more = len(manifest.files) - len(rows)
    told = blocks.note("quiet", f"and {more:,} more: package.files") if more else ""
    return blocks.fold(manifest.counted_files(), listed + told)


def _format_facts(metadata: PackageMetadata) -> list[tuple[str, object]]:
    return [
        ("format", f"{metadata.format_version}, {metadata.encoding}"),
        ("reader needs", ", ".join(f"{name} {version}" for name, version in sorted(metadata.requires.items()))),
        ("package id", str(metadata.package_id)),
        ("digest", metadata.digest or "not recorded"),
        ("manifest sha256", metadata.manifest_sha256),
    ]


def metadata_html(metadata: PackageMetadata) -> str:
    """Return ``metadata.json`` as HTML."""
    counts = ", ".join(f"{number:,} {name}" for name, number in metadata.counts.items())
    chosen = ("chosen", selection_words(metadata.selection))
    return blocks.block(
        "Package metadata", blocks.facts([*origin_facts(metadata), ("holds", counts), chosen, *_format_facts(metadata)])
    )


def manifest_html(manifest: Manifest) -> str:
    """Return ``manifest.json`` as HTML."""
    return blocks.block("Manifest", _tables(manifest), *([_files(manifest)] if manifest.files else []))
