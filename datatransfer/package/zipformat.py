"""The records of a ZIP file, and the profile that our own have.

After APPNOTE.TXT 6.3.10 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), sections 4.3 to 4.5.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
LOCAL_SIGN, CENTRAL_SIGN, DESCRIPTOR_SIGN = b"PK\3\4", b"PK\1\2", b"PK\7\x08"
END_SIGN, END64_SIGN, LOCATOR_SIGN = b"PK\5\6", b"PK\6\6", b"PK\6\7"

STORED, DEFLATED = 0, 8
HAS_DESCRIPTOR, IS_UTF8 = 0x0008, 0x0800
MAX16, MAX32 = 0xFFFF, 0xFFFFFFFF

# What every member of ours carries: unix, version 4.5; no flags; 1 January 1980; an ordinary file, rw-r--r--.
OWN_MADE_BY = 3 << 8 | 45
OWN_NEEDED = 45
OWN_TIME, OWN_DATE = 0, 0x0021
OWN_ATTRIBUTES = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One member as the central directory describes it."""

    name: str
    raw_name: bytes
    made_by: int
    needed: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int
    size: int
    internal: int
    attributes: int
    offset: int
    extra_ids: tuple[int, ...] = ()

    @property
    def own_profile(self) -> bool:
        """Whether everything that a writer may choose is as our writer chooses it."""
        return (
            (self.made_by, self.needed, self.flags, self.method) == (OWN_MADE_BY, OWN_NEEDED, 0, STORED)
            and (self.time, self.date) == (OWN_TIME, OWN_DATE)
            and (self.internal, self.attributes) == (0, OWN_ATTRIBUTES)
        )


class ZipRuleError(ValueError):
    """The file breaks a rule; the message names it."""


def extra_fields(raw: bytes) -> dict[int, bytes]:
    """Split an extra field into its records, refusing what could tell another name or hide data."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise ZipRuleError("has an extra field that is cut off")
        kind, size = struct.unpack_from("<2H", raw, position)
        position += 4
        if position + size > len(raw):
            raise ZipRuleError("has an extra field that is longer than it can be")
        if kind in found:
            raise ZipRuleError("has an extra field twice")
        if kind not in _HARMLESS:
            raise ZipRuleError(f"has an extra field of kind 0x{kind:04x}, which is not allowed")
        found[kind] = raw[position : position + size]
        position += size
    return found


ZIP64 = 0x0001
# zip64 sizes; times of NTFS and Unix; owner and group (old and new): all that common tools write of themselves
_HARMLESS = frozenset({ZIP64, 0x000A, 0x5455, 0x5855, 0x7855, 0x7875})


def widened(values: list[int], extra: dict[int, bytes]) -> list[int]:
    """Replace each 0xFFFFFFFF by its 64-bit value from the zip64 extra field, which must hold exactly those."""
    wide = [index for index, value in enumerate(values) if value == MAX32]
    raw = extra.get(ZIP64)
    if raw is None:
        if wide:
            raise ZipRuleError("lacks the 64-bit sizes that its header announces")
        return values
    if len(raw) != 8 * len(wide):
        raise ZipRuleError("has 64-bit sizes that its header does not announce, or not those")
    result = list(values)
    for place, index in enumerate(wide):
        (result[index],) = struct.unpack_from("<Q", raw, 8 * place)
    return result
