"""What HTML and SVG of ours may consist of, and hostile names to try it with."""

from __future__ import annotations

import html
import html.parser
import re
import xml.etree.ElementTree as ET
from base64 import b64decode

ELEMENTS = {
    "div", "span", "style", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "details", "summary",
    "wbr",
}  # fmt: skip
ATTRIBUTES = {"class", "style", "scope", "colspan", "open", "aria-hidden"}
CLASSES = re.compile(r"dt-[a-z]+( dt-[a-z]+)?")
STYLE = re.compile(r"width:\d{1,3}%")
SVG_ELEMENTS = {"svg", "style", "g", "title", "desc", "rect", "text", "path", "tspan", "line"}
_NUMBERS = re.compile(r"[-\d. ]*")
_PICTURE = re.compile(
    r'<div class="dt-i"(?: role="region" tabindex="0" aria-label="(?P<label>[^"<>]*)")?><style>[^<]*</style>'
    r'<img alt="(?P<alt>[^"<>]*)" src="data:image/svg\+xml;base64,(?P<source>[A-Za-z0-9+/=]*)">'
    r'<div class="dt-d" hidden="hidden"><svg style="min-width:\d+px" (?P<drawn>.*</svg>)</div></div>',
    re.DOTALL,
)
_PATH = re.compile(r"[-\d. MmLlHhVvCcQqAaZz]*")

PAYLOADS = (
    "<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "\"><script>alert(1)</script>", "'><img src=x>",
    "</style><script>alert(1)</script>", "</title><script>alert(1)</script>", "</svg><script>alert(1)</script>",
    "<svg onload=alert(1)>", "<svg/onload=alert(1)>", "<iframe src=javascript:alert(1)>",
   "<a href=javascript:alert(1)>x",
    "<body onload=alert(1)>", "<input autofocus onfocus=alert(1)>", "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>", "<math><mi xlink:href=javascript:alert(1)>", "<object data=x>", "<embed src=x>",
    "<link rel=stylesheet href=//x>", "<base href=//x>", "<meta http-equiv=refresh content=0>", "<form><button>x",
    "\" onmouseover=\"alert(1)", "' onmouseover='alert(1)", "x\" style=\"position:fixed", "x' style='position:fixed",
    "<!--", "-->", "<![CDATA[", "]]>", "&lt;script&gt;", "&#x3c;script&#x3e;", "&amp;", "<scr<script>ipt>",
    "\\u003cscript\\u003e", "{{constructor.constructor('alert(1)')()}}", "${alert(1)}", "`alert(1)`",
    "x]; click n0 \"javascript:alert(1)\"", "x\"]\nclick n0 call alert()", "%%{init: {'securityLevel':'loose'}}%%",
    "\x1b[31mred", "\u202egpj.exe", "a\x00b", "\ud800", "\uffff", "\r\nx", "'; DROP TABLE users; --", "é" * 300,
    "x" * 5000, "",
)  # fmt: skip


class _Checked(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.stack: list[str] = []
        self.styles: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, (tag, name)
            assert name != "class" or CLASSES.fullmatch(value or ""), value
            assert name != "style" or STYLE.fullmatch(value or ""), value
        if tag != "wbr":
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack[-1:] == ["style"]:
            self.styles.add(data)
        else:
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def html_text(markup: str) -> str:
    """Check HTML against what ours may consist of, and return its text."""
    from datatransfer.display.blocks import _STYLE

    parser = _Checked()
    parser.feed(markup)
    parser.close()
    assert parser.stack == []
    assert parser.styles <= {_STYLE}
    markup.encode("utf-8")
    assert not [c for c in markup if not c.isprintable() and c not in "\n\t"]
    return "".join(parser.text)


def svg_root(markup: str) -> ET.Element:
    """Check an SVG against what ours may consist of, and return its root."""
    from datatransfer.display.svg import STYLE

    root = ET.fromstring(markup)
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        assert tag in SVG_ELEMENTS, tag
        assert tag != "style" or element.text == STYLE
        for name, value in element.attrib.items():
            assert name in {"class", "role", "text-anchor", "d", "x", "y", "x1", "x2", "y1", "y2", "width", "height",
                            "rx", "viewBox", "stroke-width"}, name  # fmt: skip
            if name == "d":
                assert _PATH.fullmatch(value), value
            elif name not in {"class", "role", "text-anchor"}:
                assert _NUMBERS.fullmatch(value), (name, value)
    assert not [c for c in markup if not c.isprintable() and c not in "\n\t"]
    return root


def drawing_of(markup: str) -> str:
    """Check that HTML holds an SVG twice, as a drawing and as the image of it, and return the SVG."""
    parts = _PICTURE.fullmatch(markup)
    assert parts is not None
    svg = b64decode(parts["source"]).decode()
    assert svg_root(f"<svg {parts['drawn']}").attrib == svg_root(svg).attrib
    assert parts["drawn"].replace(">\n", ">") == svg.removeprefix("<svg ").replace(">\n", ">")
    title = next(iter(svg_root(svg))).text or ""
    assert html.unescape(parts["alt"]) == title
    assert parts["label"] in (None, parts["alt"])
    return svg
