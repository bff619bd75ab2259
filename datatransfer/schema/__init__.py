"""Tables, keys and values as plain data, the same for a database and for a package. No I/O."""
