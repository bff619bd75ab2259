"""A shop with secrets in some of its columns, for tests that leave them out."""

from __future__ import annotations

import datatransfer as dt

CANARY = "hash-of-a-password"
SHOP = f"""
CREATE TABLE teams (id INTEGER PRIMARY KEY, name VARCHAR(40));
CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(40) NOT NULL, password VARCHAR(40) NOT NULL,
    token VARCHAR(40), team_id INTEGER NOT NULL, UNIQUE (email), UNIQUE (token),
    FOREIGN KEY (team_id) REFERENCES teams (id));
CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, body VARCHAR(40),
    FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TABLE visits (page VARCHAR(40), token VARCHAR(40));
INSERT INTO teams VALUES (1, 'blue'), (2, 'red');
INSERT INTO users VALUES (1, 'ann@x', '{CANARY}-1', '{CANARY}-2', 1), (2, 'bob@x', '{CANARY}-3', NULL, 2);
INSERT INTO posts VALUES (10, 1, 'first'), (11, 2, 'second');
INSERT INTO visits VALUES ('a', '{CANARY}-4'), ('a', '{CANARY}-5'), ('b', NULL);
"""
SECRETS = ("users.password", "users.token", "visits.token")
ODD = """
CREATE TABLE pairs (a INTEGER NOT NULL, b INTEGER NOT NULL, note VARCHAR(40), PRIMARY KEY (a, b));
CREATE TABLE named (code VARCHAR(40) NOT NULL UNIQUE, note VARCHAR(40));
CREATE TABLE marked (id INTEGER PRIMARY KEY, entity_uuid CHAR(36) NOT NULL UNIQUE, imported_from_uuid CHAR(36));
CREATE TABLE lines (line VARCHAR(40));
"""


def empty(script: str = SHOP) -> str:
    """Return a script's tables without its rows."""
    return ";".join(part for part in script.split(";") if "INSERT" not in part)


def everything(db: dt.Database, *columns: str) -> dt.PackageBuilder:
    """Return a builder of all rows without some columns."""
    return dt.PackageBuilder(db).add_all().leave_out(*columns)
