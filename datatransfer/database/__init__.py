"""A database: its tables, keys and rows, as any other part of the library sees them. Knows nothing of packages."""
