"""A small shop of music whose source says CamelCase, and targets that say snake_case, with other types."""

from __future__ import annotations

from tests.support.servers import Databases
from tests.support.sql import run

CAMEL = (
    "CREATE TABLE Artist (ArtistId INTEGER PRIMARY KEY, Name TEXT NOT NULL)",
    "CREATE TABLE MediaTypes (MediaTypeId INTEGER PRIMARY KEY, Name TEXT)",
    """CREATE TABLE Track (TrackId INTEGER PRIMARY KEY, ArtistId INTEGER NOT NULL REFERENCES Artist (ArtistId),
    MediaTypeId INTEGER REFERENCES MediaTypes (MediaTypeId), UnitPrice NUMERIC(10,2) NOT NULL, Bytes INTEGER)""",
    """CREATE TABLE "Playlist Track" (PlaylistNumber INTEGER, TrackId INTEGER REFERENCES Track (TrackId),
    PRIMARY KEY (PlaylistNumber, TrackId))""",
    "INSERT INTO Artist VALUES (1, 'Accept'), (2, 'Aerosmith')",
    "INSERT INTO MediaTypes VALUES (1, 'MPEG')",
    "INSERT INTO Track VALUES (1, 1, 1, 0.99, 11170334), (2, 2, 1, 1.99, 5510424), (3, 2, NULL, 0.99, NULL)",
    'INSERT INTO "Playlist Track" VALUES (7, 1), (7, 3)',
)
ROWS = 8
SNAKE = (
    "CREATE TABLE artist (artist_id INTEGER PRIMARY KEY, name VARCHAR(120) NOT NULL)",
    "CREATE TABLE media_type (media_type_id INTEGER PRIMARY KEY, name VARCHAR(120))",
    """CREATE TABLE track (track_id INTEGER PRIMARY KEY, artist_id INTEGER NOT NULL, media_type_id INTEGER,
    unit_price NUMERIC(10,2) NOT NULL, bytes VARCHAR(20),
    FOREIGN KEY (artist_id) REFERENCES artist (artist_id),
    FOREIGN KEY (media_type_id) REFERENCES media_type (media_type_id))""",
    """CREATE TABLE playlist_track (playlist_number INTEGER, track_id INTEGER, PRIMARY KEY (playlist_number, track_id),
    FOREIGN KEY (track_id) REFERENCES track (track_id))""",
)


def made(databases: Databases, *statements: str, dialect: str = "sqlite") -> str:
    """Return the URL of a new database in which some statements were run."""
    url = databases.create(dialect)
    run(url, *statements)
    return url
