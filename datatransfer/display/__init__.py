"""Blocks that reprs are composed of. Nothing here knows databases or packages."""
