"""The child process of `sqlite_fast`: reads a SQLite file by ADBC and sends Arrow IPC over its standard output.

Run as a script, so that nothing of this library and only two modules of others are imported. It reads commands, one
JSON object a line, from standard input, and ends with it:

``{"begin": true}``
    Begins a read transaction; answers ``{"ok": true}``.
``{"rollback": true}``
    Ends it; answers ``{"ok": true}``.
``{"sql": "SELECT …", "rows": 16384}``
    Answers ``{"ok": true}``, then one Arrow IPC stream, then ``{"rows": 123}``: Arrow takes the end of a pipe for the
    end of a stream, so without this count a process that was killed would look like one that has finished.

Instead of any answer ``{"error": "…"}`` may come. An error inside a stream ends the process.
"""

from __future__ import annotations

import json
import sys

# As a script, this folder would come first on the path, and with it modules named like other people's packages.
if __name__ == "__main__":
    sys.path.pop(0)
    # Loading numpy takes longer than all else together, and nothing here needs it; pyarrow does without from 18 on.
    sys.modules["numpy"] = None  # type: ignore[assignment]

import adbc_driver_manager._lib as adbc
import pyarrow as pa


class Reader:
    """One read-only connection to a file."""

    def __init__(self, driver: str, uri: str) -> None:
        self._connection = adbc.AdbcConnection(adbc.AdbcDatabase(driver=driver, uri=uri))
        self.run("PRAGMA trusted_schema=OFF")
        # More is hardly quicker, and every page that is touched counts as memory of this process.
        self.run("PRAGMA mmap_size=67108864")

    def open(self, sql: str, rows: int = 1024) -> pa.RecordBatchReader:
        """Run a query and return its batches as they come."""
        statement = adbc.AdbcStatement(self._connection)
        statement.set_options(**{"adbc.sqlite.query.batch_rows": str(rows)})
        statement.set_sql_query(sql)
        handle, _ = statement.execute_query()
        # The statement must outlive the stream, and nobody else holds it.
        self._statement = statement
        return pa.RecordBatchReader._import_from_c(handle.address)

    def run(self, sql: str) -> None:
        """Run a statement to its end."""
        for _ in self.open(sql):
            pass


def serve(reader: Reader) -> None:
    """Answer commands until standard input ends."""
    out = sys.stdout.buffer

    def say(answer: dict[str, object]) -> None:
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()

    say({"ok": True})
    for line in sys.stdin.buffer:
        command = json.loads(line)
        try:
            if "begin" in command:
                reader.run("BEGIN")
                reader.run("SELECT count(*) FROM sqlite_schema")
            elif "rollback" in command:
                reader.run("ROLLBACK")
            batches = reader.open(command["sql"], command["rows"]) if "sql" in command else None
        except Exception as error:  # whatever it is, the parent goes on without this process
            say({"error": type(error).__name__})
            continue
        say({"ok": True})
        if batches is not None:
            sent = 0
            with pa.ipc.new_stream(out, batches.schema) as stream:
                for batch in batches:
                    stream.write_batch(batch)
                    sent += batch.num_rows
            say({"rows": sent})


if __name__ == "__main__":
    serve(Reader(sys.argv[1], sys.argv[2]))
