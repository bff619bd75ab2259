"""The commands that move rows, say how they would, or change a database: export, plan, import, track."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

from datatransfer import interrupts
from datatransfer.cli.looking import stored_bytes, summary_of, text_of
from datatransfer.cli.output import Output, records
from datatransfer.cli.sources import builder, database, key_of, mapping, natural_keys
from datatransfer.cli.wording import as_typed
from datatransfer.display.plain import counted, size, visible
from datatransfer.errors import ConflictError, SchemaMismatchError, UsageError
from datatransfer.events import Warned
from datatransfer.importing.carrying import settlings_of
from datatransfer.importing.conflicts import REPAIR

if TYPE_CHECKING:
    from datatransfer.database.connection import Database
    from datatransfer.exporting.preview import Selection
    from datatransfer.importing.conflicts import Settling
    from datatransfer.importing.importer import PackageImporter
    from datatransfer.importing.plan import ImportPlan
    from datatransfer.importing.receipts import Receipt


def export(options: argparse.Namespace, out: Output) -> int:
    """Write rows, what they depend on, and their files into a package; or only say what it would hold."""
    with database(options.url, options) as source:
        made = builder(source, options, out)
        if options.preview:
            return _preview(made.preview(), out)
        package = made.build(
            options.package, overwrite=options.overwrite, encoding=options.encoding,
            on_orphan=options.on_orphan, on_missing_file=options.on_missing_file,
        )  # fmt: skip
    document = summary_of(package)
    rows = sum(table["rows"] for table in document["tables"])
    filled = [table for table in document["tables"] if table["rows"]]
    text = (
        f"{text_of(filled, ('table', 'rows', 'bytes'), nothing='no rows')}\n\n"
        f"{visible(document['package'])}: {counted(rows, 'row')} of {counted(len(filled), 'table')}, "
        f"{package.manifest_data.counted_files()}, {size(stored_bytes(package.path))}"
    )
    out.result(document, text)
    return 0


def _preview(selection: Selection, out: Output) -> int:
    for warning in selection.warnings:
        out.warn(warning)
    tables, files = records(selection.counts), records(selection.files)
    document = {"tables": tables, "files": files, "left_out": list(selection.left_out)}
    end = f"{counted(selection.total, 'row')}, {counted(len(files), 'file path')}; nothing was written"
    if selection.left_out:
        end = f"left out: {visible(', '.join(selection.left_out))}\n{end}"
    out.result(document, f"{text_of(tables, nothing='no rows')}\n\n{end}")
    return 0


def _warned(warning: Any) -> Warned:
    return warning if isinstance(warning, Warned) else Warned("warning", str(warning))


def importer(options: argparse.Namespace, target: Database, out: Output) -> PackageImporter:
    """Return an importer of the package that was named."""
    from datatransfer.importing.importer import PackageImporter
    from datatransfer.package.package import DataPackage

    return PackageImporter(
        DataPackage.open(options.package),
        target,
        listener=out.listener,
        migrations=getattr(options, "migrations", None),
    )


def _policies(options: argparse.Namespace) -> dict[str, Any]:
    words = {name: getattr(options, name) for name in ("identity", "on_orphan", "triggers")}
    by_table = {name: dict(getattr(options, name)) or None for name in ("on_match", "on_clash")}
    given = {name: value for name, value in by_table.items() if value}
    more = {"mapping": mapping(options), "decisions": options.decisions}
    return {**words, **given, "match_on": natural_keys(options.match_on), **more}


def _decide(planned: ImportPlan, typed: Sequence[str]) -> None:
    """Decide for single entities as ``--decide`` says."""
    for text in typed:
        head, _, word = text.rpartition("=")
        table, _, key = head.partition("=")
        if not (table and key and word):
            raise UsageError(
                f"{text!r} is not of the form TABLE=KEY=WORD", where="--decide", hint="such as orders=42=skip"
            )
        planned.decide(table, [key_of(planned.package.schema.table(table), key)], word)


def check(options: argparse.Namespace, out: Output) -> int:
    """Say whether a package fits a database, and what would make it fit."""
    with database(options.target, options) as target:
        report = importer(options, target, out).check(mapping=mapping(options))
        findings = [{**found, "hint": as_typed(found["hint"])} for found in records(report.to_frame())]
        document = {"package": options.package, "target": target.url_shown, "fits": report.ok, "findings": findings}
    lines = [f"{visible(f['severity'])}: {visible(f['where'])}: {visible(f['message'])}\n    {visible(f['hint'])}"
             + (f"\n    {visible(f['options'])}" if f["options"] else "")
             + (f"  (lossy: {f['loses']})" if f["loses"] else "") for f in findings]  # fmt: skip
    errors = len(report.errors)
    end = "the package fits" if report.ok else f"{counted(errors, 'error')}; nothing was written"
    if report.mapping:
        end += f"\nall cures together that lose nothing: {visible(report.mapping.options)}"
    if report.lossy:
        end += (
            f"\n{counted(len(report.lossy), 'cure loses', 'cures lose')} something, to be chosen one by one: see above"
        )
    out.result(document, "\n".join([*lines, end]))
    return 0 if report.ok else SchemaMismatchError.exit_code


def plan(options: argparse.Namespace, out: Output) -> int:
    """Say what an import would do, and write nothing."""
    with database(options.target, options) as target, interrupts.held():
        with importer(options, target, out).plan(**_policies(options)) as planned:
            _decide(planned, options.decide)
            if options.save_decisions:
                planned.save(options.save_decisions)
            conflicts = records(planned.conflicts.drop(columns=["before", "after"]))
            settlings = settlings_of(planned)
            document = {
                "package": options.package, "target": target.url_shown,
                "tables": records(planned.summary), "conflicts": conflicts,
            }  # fmt: skip
        for warning in planned.warnings:
            out.warn(_warned(warning))
    text = text_of(document["tables"], nothing="the package holds no rows")
    if conflicts:
        text += (
            f"\n\n{counted(len(conflicts), 'conflict')}:\n{text_of(conflicts)}\n{_ways_to_decide(conflicts, settlings)}"
        )
    out.result(document, f"{text}\n\nnothing was written")
    return ConflictError.exit_code if conflicts else 0


def _ways_to_decide(conflicts: Sequence[Mapping[str, Any]], settlings: Mapping[Any, Settling]) -> str:
    """Say how conflicts of each kind are settled, as it is typed, with the first of them."""
    lines = []
    for (table, reason, how), ways in settlings.items():
        kind = (table, reason, how)
        first = next(c for c in conflicts if (c["table"], c["reason"], c["matched_by"]) == kind)
        said = [as_typed(" or ".join(ways.policies))] if ways.policies else []
        key = first["source_key"]
        if key is not None and ways.decisions:  # rows without one are decided for by policies
            written = json.dumps(key, ensure_ascii=False) if isinstance(key, list | tuple) else str(key)
            one = quote(f"{table}={written}={ways.decisions[0]}")
            said.append(f"one by one: --decide {one}")
        lines.append(f"{table}: {reason}: {', or '.join(said) or REPAIR}")
    return "\n".join(map(visible, lines))


def import_(options: argparse.Namespace, out: Output) -> int:
    """Bring a package into a database, all of it or nothing."""
    with database(options.target, options) as target, interrupts.held():
        at_work, policies = importer(options, target, out), _policies(options)
        if not options.decide:
            return tell_receipt(at_work.run(**policies, backup=options.backup), options.package, target, out)
        planned = at_work.plan(**policies)
        try:
            _decide(planned, options.decide)
            receipt = at_work.run(planned, backup=options.backup)
        except BaseException as error:
            planned.discard(error)
            raise
        return tell_receipt(receipt, options.package, target, out)


def tell_receipt(receipt: Receipt, package: str, target: Database, out: Output) -> int:
    """Show what an import did."""
    for warning in receipt.warnings:
        out.warn(_warned(warning))
    tables = records(receipt.summary)
    import_id = str(receipt.import_id) if receipt.recorded else None
    document = {"import_id": import_id, "package": package, "target": target.url_shown, "tables": tables}
    written = sum(table["inserted"] + table["updated"] for table in tables)
    end = f"{counted(written, 'row')} written, import {import_id}"
    end = end if written else "nothing was written: it was all there already"
    out.result(document, f"{text_of(tables)}\n\n{end}")
    return 0


def track(options: argparse.Namespace, out: Output) -> int:
    """Give tables their entity_uuid column."""
    from datatransfer.database.tracking import track as track_tables

    with database(options.url, options) as target:
        tracked = list(track_tables(target, options.tables or None))
        document = {"database": target.url_shown, "tracked": tracked}
    text = "\n".join(map(visible, tracked)) or "no table needed it"
    out.result(document, f"tracked:\n{text}" if tracked else text)
    return 0
