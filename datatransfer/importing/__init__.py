"""Package ▶ database."""
