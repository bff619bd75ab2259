"""The colours of everything that is shown, in HTML and in SVG: the host's own, with fallbacks for light and dark.

JupyterLab and VS Code name their colours in CSS variables; where neither is there (GitHub, a picture on its own) the
fallbacks hold. Each picture paints its own ground, so that text and ground always come from the same theme. Texts have
a contrast of at least 4.5:1 with the ground in both themes, shapes one of 3:1 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Colour(NamedTuple):
    """A colour: the host's variables that name it, the first that is there counts, and what it is without them."""

    hosts: tuple[str, ...]
    light: str
    dark: str


TEXTS: Mapping[str, Colour] = {
    "text": Colour(("jp-ui-font-color1", "vscode-editor-foreground"), "#1f1f1f", "#e8e8e8"),
    "muted": Colour(("jp-ui-font-color2", "vscode-descriptionForeground"), "#595959", "#b3b3b3"),
}
"""Colours of text."""

GROUND = Colour(("jp-layout-color0", "vscode-editor-background"), "#ffffff", "#161616")

SHAPES: Mapping[str, Colour] = {
    "line": Colour((), "#808080", "#808080"),
    "accent": Colour(("jp-brand-color1",), "#1565c0", "#64b5f6"),
    "good": Colour((), "#2a8a4a", "#2a8a4a"),
    "warn": Colour((), "#c2651a", "#c2651a"),
    "bad": Colour(("jp-error-color1",), "#c62828", "#ff8a80"),
    "quiet": Colour((), "#808080", "#808080"),
    "other": Colour((), "#8b62c9", "#8b62c9"),
}
"""Colours of lines, bars and marks; what they say is always said in words, too.

Those that no host names are the same in both themes: a host may be dark where the system is light.
"""

SOFT = Colour(("jp-layout-color2",), "#eeeeee", "#333333")
"""What lies behind a bar; says nothing."""


def variables(selector: str) -> str:
    """Return the CSS that sets ``--dt-<name>`` for a selector, in light and in dark.

    Examples
    --------
    >>> ".x{--dt-text:var(--jp-ui-font-color1,var(--vscode-editor-foreground,#1f1f1f));" in variables(".x")
    True
    """
    named = {**TEXTS, "ground": GROUND, **SHAPES, "soft": SOFT}
    light = "".join(f"--dt-{name}:{_value(colour, colour.light)};" for name, colour in named.items())
    dark = "".join(f"--dt-{name}:{_value(colour, colour.dark)};" for name, colour in named.items())
    return f"{selector}{{{light}}}@media (prefers-color-scheme:dark){{{selector}{{{dark}}}}}"


def _value(colour: Colour, otherwise: str) -> str:
    for host in reversed(colour.hosts):
        otherwise = f"var(--{host},{otherwise})"
    return otherwise


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2.2 defines it, from 1 to 21.

    Examples
    --------
    >>> round(contrast("#000000", "#ffffff"))
    21
    """
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
