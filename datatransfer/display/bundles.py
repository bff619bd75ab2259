"""A picture as a bundle, in the forms that notebooks know: each of them takes the first that it ranks.

========================  ===================================================================================
shows notebooks           takes, and shows
========================  ===================================================================================
JupyterLab, Notebook 7    ``text/html`` (rank 50, before Mermaid, 61, and SVG, 80): the drawing itself, in the theme's
                          colours, with what the arrows are called where the pointer rests; of a notebook that is not
                          trusted, where styles and drawings are taken out, the image of it alone: what is left of
                          the drawing, its words, is ``hidden``, which only our style overrides
VS Code, nbviewer         ``text/html``, the drawing itself
GitHub                    ``text/html`` without styles and drawings: the image of it, and its words
nbconvert to LaTeX        ``image/svg+xml``
========================  ===================================================================================

As ``image/svg+xml`` JupyterLab shows an image too, and nothing where the notebook is not trusted. An image knows no
variables of the page: it is light or dark as the page says of itself (``color-scheme``, as JupyterLab does), else as
the system is. It is read in either theme, as it paints its own ground.
"""

from __future__ import annotations

import re
from base64 import b64encode

from datatransfer.display.blocks import Html

_LEAST = 0.75
"""A drawing that is wider than its cell becomes smaller, down to this; then it is scrolled."""
_SCROLLS = 900
"""Pixels from which a drawing may be wider than its cell, so that keys must be able to scroll it."""
_STYLE = (
    ".dt-i{overflow-x:auto}.dt-i>img{display:none}.dt-i>.dt-d{display:block!important}"
    ".dt-d>svg{display:block;height:auto;max-width:100%}"
)
_SIZE = re.compile(r'width="(\d+)"')
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
_WORDS = re.compile(r"</(text|title|desc)>")


def pictured(text: str, svg: str, *, mermaid: str = "") -> dict[str, str]:
    """Return the bundle of a picture: text, HTML, SVG and, where there is some, Mermaid."""
    bundle = {"text/plain": text, "text/html": picture_html(svg), "image/svg+xml": svg}
    return bundle | ({"text/vnd.mermaid": mermaid} if mermaid else {})


def picture_html(svg: str) -> Html:
    """Return an ``<svg>`` element of `datatransfer.display.svg` as HTML that shows it wherever HTML is shown."""
    width, title = _first(_SIZE, svg), _first(_TITLE, svg)
    # words of a drawing that was taken out stay, and would stick together
    drawn = _WORDS.sub(r"</\1>\n", svg).replace("<svg ", f'<svg style="min-width:{_LEAST * int(width):.0f}px" ', 1)
    reached = f' role="region" tabindex="0" aria-label="{title}"' if int(width) > _SCROLLS else ""
    source = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    image = f'<img alt="{title}" src="{source}">'
    drawing = f'<div class="dt-d" hidden="hidden">{drawn}</div>'  # JupyterLab takes an empty ``hidden`` out
    return Html(f'<div class="dt-i"{reached}><style>{_STYLE}</style>{image}{drawing}</div>')


def _first(pattern: re.Pattern[str], svg: str) -> str:
    found = pattern.search(svg)
    assert found is not None, "every picture has a size and a title"
    return found[1]
