"""Whether a package will go into a target, told before anything is staged: schemas, revisions, some of the rows.

Reads the package and the target's schema; writes nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from datatransfer.display import blocks, shown
from datatransfer.display.plain import counted
from datatransfer.errors import ValueLossError
from datatransfer.importing import cures
from datatransfer.importing.casting import Cast
from datatransfer.importing.fitting import Comparison, compare
from datatransfer.importing.mapping import Mapping
from datatransfer.importing.revisions import revisions
from datatransfer.importing.rights import lacking
from datatransfer.importing.validation import ColumnFit, Misfit, TableFit
from datatransfer.package.report import SHOWN
from datatransfer.schema.tables import UniqueRule

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from datatransfer.importing.planner import Planner
    from datatransfer.importing.staging import Stager

_COLUMNS = ("severity", "code", "where", "message", "hint", "cure", "options", "loses")


@dataclass(frozen=True)
class SchemaReport:
    """All in which a package and a target differ, errors first.

    Parameters
    ----------
    findings : tuple of Misfit

    Examples
    --------
    >>> SchemaReport(()).ok
    True
    """

    findings: tuple[Misfit, ...] = ()

    @property
    def errors(self) -> tuple[Misfit, ...]:
        """The findings that forbid the import."""
        return tuple(item for item in self.findings if item.severity == "error")

    @property
    def ok(self) -> bool:
        """Whether the import can go on as it is."""
        return not self.errors

    @property
    def mapping(self) -> Mapping:
        """All cures together that lose nothing, to be looked through, and given to `PackageImporter.run` or saved.

        A name that is alike may be a guess, and a default says what nobody said: `proposals` leaves these out, too.
        """
        return _together(item for item in self.errors if not item.loses)

    @property
    def lossy(self) -> tuple[Misfit, ...]:
        """The findings whose cure loses something, named by `Misfit.loses`; each cure is to be chosen for itself."""
        return tuple(item for item in self.errors if item.loses)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a finding.

        Returns
        -------
        pandas.DataFrame
            severity, code, where, message, hint, cure (Python), options (command line), loses (what the cure loses).
        """
        import pandas as pd

        rows = [item.to_json() for item in self.findings]
        return pd.DataFrame([[row[name] for name in _COLUMNS] for row in rows], columns=list(_COLUMNS))

    def __len__(self) -> int:
        return len(self.findings)

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator[Misfit]:
        return iter(self.findings)

    @property
    def proposals(self) -> Mapping:
        """The cures that lose nothing and guess nothing: names in another spelling, casts that change no value."""
        return _together(item for item in self.errors if item.sure)

    @property
    def _words(self) -> str:
        return "the package fits" if self.ok else counted(len(self.errors), "error")

    @shown.as_text
    def __repr__(self) -> str:
        more = len(self) - len(self.errors)
        return f"SchemaReport({self._words}{f', {more:,} more to know' if more else ''})"

    def __str__(self) -> str:
        lines = [f"  {blocks.visible(f'{item.severity} {item.code}: {item}')}" for item in self.findings[:SHOWN]]
        more = [f"  and {len(self) - SHOWN:,} more"] if len(self) > SHOWN else []
        return "\n".join([repr(self), *lines, *more])

    @shown.as_html
    def _repr_html_(self) -> str:
        state = blocks.note("good" if self.ok else "bad", f"Schemas: {self._words}")
        rows = [(f.severity, f.code, f.where, f.message, f.hint, f.cure.code, f.loses) for f in self.findings]
        header = ("severity", "code", "where", "what", "what to do", "or say", "which loses")
        return blocks.block("Package and target", state, *([blocks.table(header, rows)] if rows else []))


def _together(findings: Iterable[Misfit]) -> Mapping:
    whole = Mapping()
    for item in findings:
        whole = whole | item.cure
    return whole


def check(planner: Planner, stager: Stager) -> SchemaReport:
    """Compare schemas and revisions, and look at the rows whose columns became narrower or unique."""
    package, target = planner.package, planner.target
    rows = {name: package.entry(name).rows for name in package.schema.tables}
    found = compare(package.schema, rows, target.schema, planner.writer, planner.policies.mapping)
    found.misfits = _told_lossless(found.misfits, planner, rows)
    found.misfits += revisions(package.metadata.source_revision, target.revision(), planner.migrations)
    found.misfits += _of_rows(found, stager)
    lacks = lacking(planner.writer, found.fits, rows, planner.policies.identity)
    found.misfits += [Misfit("privilege", lack.where, lack.message, lack.cure) for lack in lacks]
    weights = {"error": 0, "warning": 1, "note": 2}
    return SchemaReport(tuple(sorted(found.misfits, key=lambda item: weights[item.severity])))


def _told_lossless(misfits: list[Misfit], planner: Planner, rows: dict[str, int]) -> list[Misfit]:
    """Look at the values of columns for which a cast is proposed, and say where it changes none."""
    casts = Mapping()
    for item in misfits:
        casts |= Mapping(cast=item.cure.cast)
    if not casts:
        return misfits
    package, target, writer = planner.package, planner.target, planner.writer
    tried = compare(package.schema, rows, target.schema, writer, planner.policies.mapping | casts)
    lossless: set[str] = set()
    for name in casts.cast:
        columns = [c for c in tried.fits[name].columns if c.lossy and c.source.name in casts.cast[name]]
        made = {c.source.name: Cast(c.source.type, c.kind, writer.fraction_digits(c.target)) for c in columns}
        changed = _changed(package.batches(name), made)
        lossless |= {f"{name}.{column}" for column in made if column not in changed}
    hint = "let its values become of that kind: none of them changes"
    return [
        replace(item, sure=True, hint=hint) if item.cure.cast and item.where in lossless else item for item in misfits
    ]


def _changed(batches: Iterable[pa.RecordBatch], casts: dict[str, Cast]) -> set[str]:
    """Return the columns of which a cast changes a value, or cannot make one."""
    changed: set[str] = set()
    for batch in batches:
        for name in casts.keys() - changed:
            try:
                casts[name](batch.column(name))
            except ValueLossError:
                changed.add(name)
    return changed | {name for name, cast in casts.items() if cast.changed}


def _of_rows(found: Comparison, stager: Stager) -> list[Misfit]:
    """Find values that do not fit, NULL where something must be, and rows that a unique rule makes the same."""
    misfits: list[Misfit] = []
    elsewhere = stager.package.metadata.dialect != stager.writer.name  # where types of the same name are others
    for name, fit in found.fits.items():
        rules = [rule for rule in fit.target.rules if _is_open(fit, rule)]
        unique = {column for rule in rules for column in rule.columns}
        looked = [
            (c, convert) for c, convert in stager.converters(fit)
            if elsewhere or c.target.name in unique or _is_narrower(c)
        ]  # fmt: skip
        if not looked:
            continue
        nulls = dict.fromkeys((c.target.name for c, _ in looked), 0)
        kept: dict[str, list[pa.Array]] = {name: [] for name in unique}
        for batch in stager.package.batches(name):
            for column, convert in looked:
                array = convert(batch.column(column.source.name))
                nulls[column.target.name] += array.null_count
                if column.target.name in unique:
                    kept[column.target.name].append(array)
        misfits += [_null(fit, c, nulls[c.target.name]) for c, _ in looked if _wants(c) and nulls[c.target.name]]
        misfits += [twice for rule in rules if (twice := _twice(fit, rule, kept)) is not None]
    columns = {f"{f.source.name}.{c.source.name}": (f, c) for f in found.fits.values() for c in f.columns}
    lost = stager.losses.misfits(columns)
    told = {item.where for item in lost}
    return lost + [item for item in misfits if item.where not in told]


def _wants(column: ColumnFit) -> bool:
    return not column.target.nullable and not column.target.identity


def _is_narrower(column: ColumnFit) -> bool:
    other = column.source.type != column.kind or column.source.declared != column.target.declared
    return other or column.target.labels is not None or column.lossy or (column.source.nullable and _wants(column))


def _is_open(fit: TableFit, rule: UniqueRule) -> bool:
    """Whether the package may hold twice what a rule of the target keeps unique: equal values at least."""
    fits = [c for c in fit.columns if c.target.name in rule.columns and not c.given]
    if rule.where or len(fits) != len(rule.columns):
        return False
    names = {c.source.name for c in fits}
    apart = any(columns and set(columns) <= names for columns in (fit.source.key, *fit.source.uniques))
    return not (apart and all(c.keeps_apart for c in fits))


def _twice(fit: TableFit, rule: UniqueRule, kept: dict[str, list[pa.Array]]) -> Misfit | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.table({name: pa.chunked_array(kept[name]) for name in rule.columns if kept[name]})
    if not table.num_rows:
        return None
    if not rule.nulls_equal:
        table = table.drop_null()
    counts = table.group_by(list(rule.columns)).aggregate([([], "count_all")])["count_all"]
    rows = int(pc.sum(counts.filter(pc.greater(counts, 1))).as_py() or 0)
    if not rows:
        return None
    columns = [c for c in fit.columns if c.target.name in rule.columns]
    where = f"{fit.source.name}.{columns[0].source.name if len(columns) == 1 else f'({rule.label})'}"
    message = f"it is unique in the target, and {counted(rows, 'row')} of the package share theirs with another"
    cure = cures.of_value(fit, columns[0], castable=False) if len(columns) == 1 else Mapping()
    hint = "make them differ in the source" + (", or leave the column out" if cure else ", or leave these rows out")
    return Misfit("unique", where, message, hint, rows, cure=cure)


def _null(fit: TableFit, column: ColumnFit, rows: int) -> Misfit:
    message = f"is required in the target, and NULL in {counted(rows, 'row')}"
    hint = "let the column be NULL in the target, or leave these rows out"
    where = f"{fit.source.name}.{column.source.name}"
    return Misfit("null", where, message, hint, rows, cure=cures.of_null(fit, column))
