"""Packages: their bytes, their two encodings, and what one can ask of them. Nothing here knows a database."""
