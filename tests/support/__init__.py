"""What the tests stand on: databases to try things on, and a digest that knows nothing of the library."""
