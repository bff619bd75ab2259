"""The keys of staged rows, kept compressed in this process: the key map of rows all inserted needs no query."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from datatransfer.database.chunks import decode

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.importing.staging import StagedTable

_MAP_ROWS = 500_000


def keep(table: StagedTable, names: Sequence[str], arrays: Sequence[pa.Array]) -> None:
    """Keep the keys of a batch, if they are integers, or texts that the table is to keep.

    Parameters
    ----------
    table : StagedTable
    names, arrays
        The columns of the batch as they are staged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not table.fit.keyed or table.has_keys:
        return
    keys = {c: arrays[names.index(table.stage_column(c))] for c in table.fit.target.key}
    encodings = {name: _encoding(table, array.type) for name, array in keys.items()}
    if all(encodings.values()):
        texts = {name: array for name, array in keys.items() if pa.types.is_string(array.type)}
        keys |= {name: pc.binary_join_element_wise("t", array, "") for name, array in texts.items()}  # as `tag` does
        sink = io.BytesIO()
        pq.write_table(pa.table(keys), sink, compression="zstd", use_dictionary=False, column_encoding=encodings)
        table.key_chunks.append(sink.getvalue())


def _encoding(table: StagedTable, kind: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_int64(kind):
        return "DELTA_BINARY_PACKED"
    return "DELTA_BYTE_ARRAY" if table.keeps_texts and pa.types.is_string(kind) else ""


def kept(table: StagedTable) -> Iterator[pa.Table]:
    """Yield the keys that were kept, by the target's columns, in pieces that are worth a chunk of the ledger each."""
    import pyarrow as pa

    held: list[pa.Table] = []
    for chunk in table.key_chunks:
        held.append(decode(chunk))
        if sum(keys.num_rows for keys in held) >= _MAP_ROWS:
            yield pa.concat_tables(held).combine_chunks()
            held = []
    if held:
        yield pa.concat_tables(held).combine_chunks()
