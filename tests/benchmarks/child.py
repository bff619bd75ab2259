"""What runs in a process of its own, so that time and memory are its alone.

``python -m tests.benchmarks.child VERB ARGUMENT …``

The clock starts after the imports. The last line of the output is JSON: seconds, and what else the verb tells.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _high_water() -> int:
    """Return the most memory that this process has held, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _warm() -> Any:
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import sqlalchemy  # noqa: F401

    import datatransfer as dt

    # Names are loaded when they are first used; this is what "after imports" means.
    for name in ("Database", "PackageBuilder", "PackageImporter", "DataPackage"):
        getattr(dt, name)
    return dt


def export(url: str, path: str) -> dict[str, Any]:
    """Export the whole database."""
    dt = _warm()
    start = time.perf_counter()
    with dt.Database(url) as db:
        dt.PackageBuilder(db).add_all().build(path, progress=False, overwrite=True)
    return {"seconds": time.perf_counter() - start, "bytes": Path(path).stat().st_size}


def load(path: str, url: str) -> dict[str, Any]:
    """Import a package into an existing schema."""
    dt = _warm()
    start = time.perf_counter()
    with dt.Database(url) as db:
        receipt = dt.PackageImporter(dt.DataPackage.open(path), db).run()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "rows": int(receipt.summary["inserted"].sum())}


def load_in_phases(path: str, url: str) -> dict[str, Any]:
    """Import a package and say when each phase ended, by the clock."""
    dt = _warm()
    begun = time.time()
    with dt.Database(url) as db:
        importer = dt.PackageImporter(dt.DataPackage.open(path), db)
        plan = importer.plan()
        planned = time.time()
        receipt = importer.run(plan)
    phases = [("stage", begun + plan.timings["stage"]), ("plan", planned), ("merge", time.time())]
    rows = int(receipt.summary["inserted"].sum())
    return {"begun": begun, "phases": phases, "timings": dict(receipt.timings), "rows": rows}


def pandas(source: str, target: str) -> dict[str, Any]:
    """Carry the tables with pandas alone, into the same schema."""
    import pandas as pd
    import sqlalchemy as sa

    start = time.perf_counter()
    left, right = sa.create_engine(source), sa.create_engine(target)
    for table in ("customers", "orders", "items"):
        pd.read_sql_table(table, left).to_sql(table, right, if_exists="append", index=False)
    return {"seconds": time.perf_counter() - start}


def show(path: str, small: str) -> dict[str, Any]:
    """Open a package and show it, as a notebook would; another one is opened before, for the imports."""
    dt = _warm()
    seconds = 0.0
    for name in (small, path):
        start = time.perf_counter()
        package = dt.DataPackage.open(name)
        show = getattr(package, "_repr_html_", None) or package.__repr__
        shown = show() + package.tables.to_html()
        seconds = time.perf_counter() - start
        assert shown
    return {"seconds": seconds}


def reprs(path: str, small: str) -> dict[str, Any]:
    """Show a package, its parts and a schema of 500 tables; the slowest of them, the best of three times each.

    In seconds of the processor: a repr waits for nothing, and what else runs here is not its business.
    """
    dt = _warm()
    from sqlalchemy import text

    made = dt.Database("sqlite://")
    with made.engine.begin() as connection:
        for n in range(500):
            refers = f", parent INTEGER NOT NULL REFERENCES t{n // 3}, other INTEGER REFERENCES t{n // 7}"
            connection.execute(text(f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY{refers})"))
    schema = made.schema
    best: dict[str, float] = {}
    for name in (small, path, path, path):
        package = dt.DataPackage.open(name)
        shown = {"package": package, "manifest": package.manifest_data, "metadata": package.metadata,
                 "graph": package.graph, "plot": package.plot(), "database of 500 tables": made,
                 "graph of 500 tables": dt.DependencyGraph(schema), **{t: package[t] for t in package}}  # fmt: skip
        for what, each in shown.items():
            start = time.process_time()
            bundle = getattr(each, "_repr_mimebundle_", None) or each._repr_html_
            assert bundle()
            assert repr(each)
            if name != small:
                best[what] = min(best.get(what, 9.0), time.process_time() - start)
    slowest = max(best, key=lambda what: best[what])
    return {"seconds": best[slowest], "slowest": slowest}


def importing() -> dict[str, Any]:
    """Import the library and say which heavy modules that loaded."""
    start = time.perf_counter()
    import datatransfer

    seconds = time.perf_counter() - start
    assert datatransfer.__version__
    return {"seconds": seconds, "loaded": sorted({"pandas", "pyarrow", "ipywidgets", "sqlalchemy"} & set(sys.modules))}


VERBS: dict[str, Callable[..., dict[str, Any]]] = {
    "export": export, "load": load, "load_in_phases": load_in_phases,
    "pandas": pandas, "show": show, "reprs": reprs, "importing": importing,
}  # fmt: skip

if __name__ == "__main__":
    result = VERBS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({**result, "peak": _high_water()}))
