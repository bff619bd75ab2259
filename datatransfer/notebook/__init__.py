"""Doors for notebooks: two wizards, and the magics. Only buttons and words; what they do is done by the rooms below."""
