"""What ``metadata.json`` says: what a package is, where it comes from, and how it was selected.

The other JSON document of a package is in `datatransfer.package.manifest`.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from datatransfer.display import shown
from datatransfer.errors import PackageError
from datatransfer.package.fields import SHA256, Fields
from datatransfer.package.jsontext import read_json, write_json

FORMAT_VERSION = "2.0"
METADATA_MEMBER = "metadata.json"
MAX_METADATA_BYTES = 16 * 2**20
FEATURES: Mapping[str, str] = {"documents": "2.0", "columns": "2.0", "foreign-identity": "2.0", "spellings": "2.0"}
"""What a reader may have to know, and the format version that brought it."""

Encoding = Literal["documents", "columns"]

_VERSION = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")


@dataclass(frozen=True, repr=False)
class PackageMetadata:
    """What a package is.

    Parameters
    ----------
    package_id : uuid.UUID
        Fresh for every package, unless the caller fixes it.
    created : datetime.datetime
        Aware.
    created_by : str
        Library and version.
    origin : uuid.UUID
        The database that the rows come from.
    dialect : str
        Its dialect, e.g. ``"postgresql"``.
    source_revision : str or None
        Its Alembic revision.
    selection : mapping
        How the rows were chosen, as JSON data: roots, rules, and whatever was decided on the way.
    encoding : {"documents", "columns"}
    counts : mapping
        ``tables``, ``rows``, ``files`` and ``bytes`` (of all members but ``metadata.json`` and ``manifest.json``).
    manifest_sha256 : str
        Of the bytes of ``manifest.json``.
    digest : str or None
        The semantic digest, see `datatransfer.package.digest`; None if it was not computed.
    requires : mapping
        Features that a reader must know, and the format version that brought each.
    format_version : str

    Notes
    -----
    `PackageWriter.finish` fills `encoding`, `counts`, `manifest_sha256`, `digest` and `requires`.
    """

    package_id: uuid.UUID
    created: dt.datetime
    created_by: str
    origin: uuid.UUID
    dialect: str
    source_revision: str | None = None
    selection: Mapping[str, Any] = field(default_factory=dict)
    encoding: Encoding = "documents"
    counts: Mapping[str, int] = field(default_factory=dict)
    manifest_sha256: str = ""
    digest: str | None = None
    requires: Mapping[str, str] = field(default_factory=dict)
    format_version: str = FORMAT_VERSION

    @shown.as_text
    def __repr__(self) -> str:
        return (
            f"PackageMetadata({self.dialect!r}, {self.created:%Y-%m-%d %H:%M} UTC, {self.encoding}, "
            f"format {self.format_version}, id {self.package_id})"
        )

    @shown.as_html
    def _repr_html_(self) -> str:
        from datatransfer.package.looks import metadata_html

        return metadata_html(self)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``metadata.json``."""
        return {
            "format_version": self.format_version,
            "requires": dict(sorted(self.requires.items())),
            "package_id": str(self.package_id),
            "created": self.created.astimezone(dt.UTC).isoformat(),
            "created_by": self.created_by,
            "origin": {"uuid": str(self.origin), "dialect": self.dialect},
            "source_revision": self.source_revision,
            "selection": dict(self.selection),
            "counts": {name: self.counts[name] for name in _COUNTS},
            "encoding": self.encoding,
            "manifest_sha256": self.manifest_sha256,
            "digest": self.digest,
        }

    def to_bytes(self) -> bytes:
        """Return ``metadata.json`` as it is written."""
        return write_json(self.to_json(), indent=2)

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> PackageMetadata:
        """Read ``metadata.json``.

        Raises
        ------
        PackageError
            It breaks a rule of the format, or is of a version or needs a feature that this library does not know.
        """
        fields = Fields(read_json(data, where=where, limit=MAX_METADATA_BYTES), where)
        version = _known_version(fields)
        origin = fields.object("origin")
        made = cls(
            format_version=version,
            requires=_known_features(fields),
            package_id=fields.parsed("package_id", uuid.UUID),
            created=fields.parsed("created", _instant),
            created_by=fields.take("created_by", str),
            origin=origin.parsed("uuid", uuid.UUID),
            dialect=origin.take("dialect", str),
            source_revision=fields.optional("source_revision", str),
            selection=fields.take("selection", dict),
            counts=_counts(fields.object("counts")),
            encoding=encoding_of(fields),
            manifest_sha256=fields.text("manifest_sha256", SHA256),
            digest=fields.optional("digest", str),
        )
        origin.end()
        fields.end()
        if made.digest is not None and not SHA256.fullmatch(made.digest):
            fields.refuse("does not have the form it must have", "digest")
        if made.to_json() != dict(fields.items()):
            fields.refuse("is not written the one way it has: UUIDs in lower case, times in UTC")
        return made


_COUNTS = ("tables", "rows", "files", "bytes")


def _counts(fields: Fields) -> dict[str, int]:
    counts = {name: fields.count(name) for name in _COUNTS}
    fields.end()
    return counts


def encoding_of(fields: Fields) -> Encoding:
    """Read which of the two encodings the rows have."""
    value = fields.take("encoding", str)
    if value not in get_args(Encoding):
        fields.refuse("must be documents or columns", "encoding")
    return cast(Encoding, value)


def _instant(text: str) -> dt.datetime:
    value = dt.datetime.fromisoformat(text)
    if value.utcoffset() != dt.timedelta(0):
        raise ValueError("not in UTC")
    return value


def require_version(data: bytes, where: str) -> None:
    """Refuse a ``metadata.json`` that states no format version; any version will do.

    Raises
    ------
    PackageError
    """
    Fields(read_json(data, where=where, limit=MAX_METADATA_BYTES), where).text("format_version", _VERSION)


def _known_version(fields: Fields) -> str:
    if "format_version" not in fields and "version" in fields:
        raise PackageError(
            "is of format 1, which this version does not read", where=fields.where,
            hint="export it again from its source",
        )  # fmt: skip
    version = fields.text("format_version", _VERSION)
    major, minor = _numbers(version)
    if (major, minor) > _numbers(FORMAT_VERSION):
        raise PackageError(
            f"is of format {version}, this library reads up to {FORMAT_VERSION}: needs version >= {version}",
            where=fields.where, hint=f"install a datatransfer that reads format {version}",
        )  # fmt: skip
    if major != _numbers(FORMAT_VERSION)[0]:
        fields.refuse(f"{version} is not a format that this function reads", "format_version")
    return version


def _known_features(fields: Fields) -> dict[str, str]:
    requires = fields.object("requires")
    found = {name: requires.text(name, _VERSION) for name, _ in requires.items()}
    for name, version in found.items():
        if name not in FEATURES:
            raise PackageError(
                f"requires {name!r:.80}, which this library does not know: needs version >= {version}",
                where=fields.where, hint=f"install a datatransfer that reads format {version}",
            )  # fmt: skip
    return found


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)
