r"""What is decided for single entities: which are meant, laid beside the stage, and read and written as JSON.

For every table with decisions there is a staging table ``e<number>``: ``r`` the staged row, ``a`` the decision. Chosen
rows travel as staging tables, however many they are. Knows nothing of what a decision leads to.

The JSON document::

    {"format": "datatransfer-decisions", "version": 1, "package": {"id": …, "digest": …},
     "decisions": {"users": {"update": ["[1]", "[7]"], "rename": ["[\"ann\"]"]}}}

Entities are named by the canonical form of their key in the package (`datatransfer.schema.identity.canonical_key`),
and in tracked tables by their UUID. Both are the same whatever target the package goes to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer.display.plain import counted
from datatransfer.errors import UnknownColumnError, UsageError
from datatransfer.given import path_of
from datatransfer.importing.actions import Decision
from datatransfer.importing.keymaps import as_staged, lay_keys
from datatransfer.importing.remap import TablePlan
from datatransfer.schema.keycolumns import from_canonical, key_array
from datatransfer.schema.keynames import kept_names
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from datatransfer.database.writers import Writer
    from datatransfer.package.package import DataPackage

FORMAT, VERSION = "datatransfer-decisions", 1
_NEWER = "install the version of datatransfer that wrote them, or a later one"
_CHOSEN, _KEYS = 0, 1
_BATCH_ROWS = 65_536
_TEXT = LogicalType("text")


class Chooser:
    """Finds the staged rows that somebody means, and keeps what was decided for them.

    Parameters
    ----------
    writer : Writer
    """

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    # --- which --------------------------------------------------------------------------------------------------

    def choose(self, plan: TablePlan, which: Any) -> int:
        """Lay the rows that are meant as ``y0`` and return how many; see `ImportPlan.decide`."""
        import numpy as np
        import pandas as pd

        w = self.writer
        if not plan.key:
            hint = 'decide for all of its rows: on_match="skip" or "update"'
            raise UsageError("its rows have no key, so that none can be chosen", where=plan.fit.source.name, hint=hint)
        w.run(f"DROP TABLE IF EXISTS {w.stage_name('y', _CHOSEN)}")
        if isinstance(which, pd.DataFrame):
            return self._by_frame(plan, which)
        if which is None:
            return self._lay(plan, "1 = 1")
        if isinstance(which, Mapping):
            return self._by_values(plan, which)
        if isinstance(which, pd.Series) and len(which) and pd.api.types.is_bool_dtype(which):
            return self._by_mask(plan, self._in_order(plan, which.fillna(value=False).astype(bool)))
        if isinstance(which, np.ndarray | list) and len(which) and np.asarray(which).dtype == bool:
            return self._by_mask(plan, np.asarray(which))
        several = isinstance(which, list | set | frozenset | pd.Series | pd.Index | np.ndarray)
        return self._by_keys(plan, list(which) if several else [which])

    def _lay(self, plan: TablePlan, condition: str) -> int:
        w = self.writer
        s = w.stage_name("s", plan.number)
        w.create_as("y", _CHOSEN, f"SELECT s.r AS r FROM {s} s WHERE {condition}")
        return int(w.scalar(f"SELECT count(*) FROM {w.stage_name('y', _CHOSEN)}"))

    @staticmethod
    def _in_order(plan: TablePlan, mask: pd.Series) -> Any:
        """Return a mask in the order of ``to_frame(table)``: its index says which row each value is about."""
        import numpy as np

        if len(mask) == plan.staged.rows and not np.array_equal(np.sort(mask.index), np.arange(len(mask))):
            raise UsageError(
                "the index of the mask is not that of plan.to_frame(table)", where=plan.fit.source.name,
                hint="make it from plan.to_frame(table), or give the rows themselves: frame[mask]",
            )  # fmt: skip
        return mask.sort_index().to_numpy()

    def _by_mask(self, plan: TablePlan, mask: Any) -> int:
        import numpy as np
        import pyarrow as pa

        if len(mask) != plan.staged.rows:
            raise UsageError(
                f"a mask of {counted(len(mask), 'row')} for a table of {plan.staged.rows}", where=plan.fit.source.name,
                hint="make it from plan.to_frame(table), without limit= and action=",
            )  # fmt: skip
        rows = pa.array(np.flatnonzero(mask).astype(np.int64))
        self._load(rows)
        return len(rows)

    def _load(self, rows: pa.Array) -> None:
        import pyarrow as pa

        self.writer.create("y", _CHOSEN, [("r", "BIGINT")])
        whole = pa.RecordBatch.from_arrays([rows], names=["r"])
        batches = (whole.slice(start, _BATCH_ROWS) for start in range(0, whole.num_rows, _BATCH_ROWS))
        self.writer.load("y", _CHOSEN, whole.schema, batches)

    def _by_frame(self, plan: TablePlan, frame: Any) -> int:
        name, key = plan.fit.source.name, plan.fit.source.key
        if "source_key" in frame.columns:
            if "table" in frame.columns:
                frame = frame[frame["table"] == name]
            return self._by_keys(plan, list(frame["source_key"]))
        absent = [column for column in key if column not in frame.columns]
        if absent:
            raise UnknownColumnError(
                f"the frame has no column {absent[0]!r}", where=name, hint=f"it needs the key: {', '.join(key)}"
            )
        columns = [frame[column].tolist() for column in key]
        return self._by_keys(plan, list(zip(*columns, strict=True)))

    def _by_keys(self, plan: TablePlan, keys: list[Any]) -> int:
        width = len(plan.fit.source.key)
        rows = [key if isinstance(key, tuple) else (key,) for key in keys]
        if any(len(row) != width for row in rows):
            columns = ", ".join(plan.fit.source.key)
            raise UsageError(
                f"a key of {plan.fit.source.name} has {counted(width, 'column')}: {columns}",
                where=plan.fit.source.name,
                hint="write each key as a tuple of so many values",
            )
        arrays = [key_array([_python(value) for value in column]) for column in zip(*rows, strict=True)]
        return self._by_arrays(plan, arrays or [key_array([])] * width, strict=True)

    def _by_arrays(self, plan: TablePlan, arrays: list[pa.Array], *, strict: bool) -> int:
        """Lay the rows whose keys are given as receipts keep them."""
        columns = [str(plan.staged.stage_of_source(c)) for c in plan.fit.source.key]
        kinds = [plan.fit.by_source(c).kind for c in plan.fit.source.key]  # type: ignore[union-attr]
        laid = self._lay_keys(_KEYS, [self._staged(plan, a, k) for a, k in zip(arrays, kinds, strict=True)], kinds)
        return self._of_keys(plan, laid, columns, strict=strict)

    def _of_keys(self, plan: TablePlan, laid: str, columns: list[str], *, strict: bool) -> int:
        w = self.writer
        on = " AND ".join(w.equal(f"l.s{i}", f"s.{c}") for i, c in enumerate(columns))
        s = w.stage_name("s", plan.number)
        missing = int(w.scalar(f"SELECT count(*) FROM {laid} l WHERE NOT EXISTS (SELECT 1 FROM {s} s WHERE {on})"))
        if missing and strict:
            w.run(f"DROP TABLE {laid}")
            raise UsageError(
                f"{counted(missing, 'key')} that the package does not hold", where=plan.fit.source.name,
                hint="keys are those of the package: the column source_key of plan.to_frame()",
            )  # fmt: skip
        count = self._lay(plan, f"EXISTS (SELECT 1 FROM {laid} l WHERE {on})")
        w.run(f"DROP TABLE {laid}")
        return count

    def _lay_keys(self, number: int, arrays: list[pa.Array], kinds: list[LogicalType]) -> str:
        self.writer.run(f"DROP TABLE IF EXISTS {self.writer.stage_name('y', number)}")
        names = [f"s{i}" for i in range(len(arrays))]
        return lay_keys(self.writer, ("y", number), names, arrays, kinds=kinds, indexed=len(names))

    def _staged(self, plan: TablePlan, array: pa.Array, kind: LogicalType) -> pa.Array:
        import pyarrow as pa

        try:
            found = as_staged(self.writer, array, kind)
        except (pa.ArrowInvalid, ValueError):
            raise UsageError(f"a value is no {kind.kind}", where=plan.fit.source.name) from None
        if found.null_count > array.null_count:
            raise UsageError(f"a value is no {kind.kind}", where=plan.fit.source.name)
        return found

    def _by_values(self, plan: TablePlan, values: Mapping[str, Any]) -> int:
        """Lay the rows that hold these values in the package, each one value or a list of them."""
        w = self.writer
        conditions, laid = [], []
        for number, (name, wanted) in enumerate(values.items(), _KEYS):
            fit = plan.fit.by_source(name)
            if fit is None:
                raise UnknownColumnError(
                    f"package and target share no column {name!r}", where=plan.fit.source.name,
                    hint=f"they share {', '.join(f.source.name for f in plan.fit.columns)}",
                )  # fmt: skip
            column = f"s.{plan.staged.stage_of_source(name)}"
            several = isinstance(wanted, Iterable) and not isinstance(wanted, str | bytes)
            items = [_python(item) for item in (wanted if several else [wanted])]
            given = [item for item in items if item is not None]
            parts = [f"{column} IS NULL"] if None in items else []
            if given and fit.kind.kind == "boolean":
                parts += [f"{column} = {self._boolean(item)}" for item in given]
            elif given:
                array = key_array([float(v) for v in given] if fit.kind.kind == "float" else given)
                laid.append(self._lay_keys(number, [self._staged(plan, array, fit.kind)], [fit.kind]))
                parts.append(f"EXISTS (SELECT 1 FROM {laid[-1]} l WHERE {w.equal('l.s0', column)})")
            conditions.append(f"({' OR '.join(parts) or '1 = 0'})")
        count = self._lay(plan, " AND ".join(conditions) or "1 = 1")
        for table in laid:
            w.run(f"DROP TABLE {table}")
        if not count:
            raise UsageError(
                "no entity of the package has these values", where=plan.fit.source.name,
                hint="look at plan.to_frame(); values are compared as the package has them",
            )  # fmt: skip
        return count

    def _boolean(self, value: Any) -> str:
        if self.writer.name == "postgresql":
            return "true" if value else "false"
        return "1" if value else "0"

    # --- what was decided ---------------------------------------------------------------------------------------

    def keep(self, plan: TablePlan, *, has_any: bool) -> None:
        """Put aside what was decided for a table before, so that it can come back."""
        w = self.writer
        w.run(f"DROP TABLE IF EXISTS {w.stage_name('z', plan.number)}")
        if has_any:
            w.create_as("z", plan.number, f"SELECT r, a FROM {w.stage_name('e', plan.number)}")

    def put_back(self, plan: TablePlan, *, had_any: bool) -> None:
        """Return to what `keep` put aside."""
        w = self.writer
        e, z = w.stage_name("e", plan.number), w.stage_name("z", plan.number)
        w.run(f"DELETE FROM {e}")
        if had_any:
            w.run(f"INSERT INTO {e} (r, a) SELECT r, a FROM {z}")

    def decide(self, plan: TablePlan, decision: Decision | None, *, has_any: bool) -> None:
        """Write a decision for the rows that were chosen; None takes back what was decided."""
        w = self.writer
        e, y = w.stage_name("e", plan.number), w.stage_name("y", _CHOSEN)
        if not has_any:
            w.run(f"DROP TABLE IF EXISTS {e}")
            w.create("e", plan.number, [("r", "BIGINT"), ("a", "VARCHAR(8)")])
        w.run(f"DELETE FROM {e} WHERE r IN (SELECT y.r FROM {y} y)")
        if decision is not None:
            w.run(f"INSERT INTO {e} (r, a) SELECT DISTINCT y.r, '{decision}' FROM {y} y")
        w.analyze("e", plan.number)

    def decided(self, plan: TablePlan) -> int:
        """Return for how many entities of a table there is a decision."""
        return int(self.writer.scalar(f"SELECT count(*) FROM {self.writer.stage_name('e', plan.number)}"))

    # --- JSON ---------------------------------------------------------------------------------------------------

    def written(self, plan: TablePlan) -> dict[Decision, list[str]]:
        """Return the names of the entities of a table by what was decided for them."""
        w = self.writer
        e, s = w.stage_name("e", plan.number), w.stage_name("s", plan.number)
        found: dict[Decision, list[str]] = {}
        keys = [f"s.{plan.staged.stage_of_source(c)}" for c in plan.fit.source.key]
        parts = ["s.u"] if plan.staged.has_uuid else keys
        for decision in Decision:
            rows = w.run(
                f"SELECT {', '.join(parts)} FROM {s} s JOIN {e} e ON e.r = s.r AND e.a = '{decision}' ORDER BY s.r"
            ).all()
            if rows:
                columns = list(zip(*map(tuple, rows), strict=True))
                names = list(columns[0]) if plan.staged.has_uuid else self._canonical(plan, columns)
                found[decision] = names
        return found

    @staticmethod
    def _canonical(plan: TablePlan, columns: list[tuple[Any, ...]]) -> list[str]:
        kinds = [plan.fit.source.column(c).type for c in plan.fit.source.key]
        texts: list[str] = kept_names([key_array(list(v)) for v in columns], kinds).to_pylist()
        return texts

    def choose_named(self, plan: TablePlan, names: list[str]) -> int:
        """Lay the rows that have these names, as `written` returned them; return how many there are."""
        import pyarrow as pa

        w = self.writer
        w.run(f"DROP TABLE IF EXISTS {w.stage_name('y', _CHOSEN)}")
        texts = pa.array(names, type=pa.string())
        if plan.staged.has_uuid:
            laid = self._lay_keys(_KEYS, [texts], [_TEXT])
            return self._of_keys(plan, laid, ["u"], strict=False)
        try:
            arrays = from_canonical(texts, len(plan.fit.source.key))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UsageError("the name of an entity is damaged", where=plan.fit.source.name) from None
        return self._by_arrays(plan, arrays, strict=False)


def _python(value: Any) -> Any:
    """Return a value of numpy or pandas as Python's own."""
    import pandas as pd

    if value is pd.NaT or value is pd.NA:
        return None
    return value.item() if hasattr(value, "item") and hasattr(value, "dtype") else value


def document_of(package: DataPackage, decisions: Mapping[str, Mapping[Decision, list[str]]]) -> dict[str, Any]:
    """Return decisions as the JSON document that this module describes."""
    metadata = package.metadata
    return {
        "format": FORMAT, "version": VERSION,
        "package": {"id": str(metadata.package_id), "digest": metadata.manifest_sha256},
        "decisions": {table: {str(word): names for word, names in named.items()} for table, named in decisions.items()},
    }  # fmt: skip


def read_document(given: str | Path | Mapping[str, Any], package: DataPackage) -> dict[str, dict[Decision, list[str]]]:
    """Return the decisions of a document or of a file that holds one, checked.

    Raises
    ------
    UsageError
        It cannot be read, is of another version, or belongs to another package.
    """
    where = "" if isinstance(given, Mapping) else str(given)
    document = given if isinstance(given, Mapping) else _read(path_of(given, "decisions"))
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise UsageError("these are no decisions", where=where, hint="plan.save(path) writes them")
    if document.get("version") != VERSION:
        raise UsageError(
            f"decisions of version {document.get('version')!r} need a newer library", where=where, hint=_NEWER
        )
    if document.get("package", {}).get("digest") != package.metadata.manifest_sha256:
        raise UsageError(
            "these decisions were made for another package", where=where, hint="decide again for this package"
        )
    try:
        return {
            str(table): {Decision(word): [str(name) for name in names] for word, names in named.items()}
            for table, named in document["decisions"].items()
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        raise UsageError("the list of decisions is damaged", where=where, hint="save it again") from None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "plan.save(path) writes it"
        raise UsageError(f"the file cannot be read ({error.strerror})", where=str(path), hint=hint) from None
    except (ValueError, RecursionError):
        raise UsageError("the file is not JSON", where=str(path), hint="plan.save(path) writes it") from None
