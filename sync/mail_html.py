"""HTML of a mail that can be shown: nothing in it runs, and nothing is fetched unless its reader asks for it.

nh3 builds the tree and drops what is not listed here. It does not look into styles, and takes quadratic time where
elements lie very deep in each other, so that both are done before. What comes from outside is still cleaned in a
worker that can be killed: misnested formatting grows without any depth.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from dataclasses import dataclass, field

import nh3

from sync.mail_charsets import many_lines

MOST = 1024 * 1024  # characters; what comes after is cut
LEVELS = 512  # elements in each other; what comes after the first that is deeper is cut
STYLE = 2000  # characters of one style

TAGS = {
    "a", "abbr", "address", "article", "aside", "b", "bdi", "bdo", "big", "blockquote", "br", "caption", "center",
    "cite", "code", "col", "colgroup", "dd", "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure",
    "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "img", "ins", "kbd", "li", "main",
    "mark", "nav", "ol", "p", "pre", "q", "s", "samp", "section", "small", "span", "strike", "strong", "sub",
    "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var", "wbr",
}  # fmt: skip
EMPTY_WITH_CONTENT = {
    "script", "style", "title", "template", "svg", "math", "iframe", "object", "embed", "applet", "noembed",
    "noframes", "xmp", "plaintext", "textarea", "select", "audio", "video", "canvas",
}  # fmt: skip
CELL = {"align", "bgcolor", "colspan", "height", "rowspan", "valign", "width"}
ATTRIBUTES = {
    "*": {"style", "dir", "lang", "align"},
    "a": {"href", "title"},
    "abbr": {"title"},
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "font": {"color", "face", "size"},
    "hr": {"size", "width"},
    "img": {"src", "alt", "title", "width", "height"},
    "li": {"value"},
    "ol": {"start", "type"},
    "table": {"bgcolor", "border", "cellpadding", "cellspacing", "width"},
    "td": CELL,
    "th": CELL,
    "tr": {"bgcolor", "valign"},
    "ul": {"type"},
}
# Nothing that leaves its place: a mail must not draw over the page that shows it.
STYLES = re.compile(
    r"(?:background-|border-(?:\w+-)?|text-decoration-)?color|background"
    r"|(?:border|margin|padding)(?:-(?:top|right|bottom|left))?|border-(?:\w+-)?(?:style|width|radius)"
    r"|border-collapse|border-spacing|direction|font(?:-(?:family|size|style|variant|weight))?|letter-spacing"
    r"|line-height|list-style-type|(?:min-|max-)?(?:width|height)|table-layout|text-(?:align|decoration|indent)"
    r"|text-transform|unicode-bidi|vertical-align|white-space|word-(?:break|spacing|wrap)|overflow-wrap"
)
# Words, numbers, quoted names of fonts, and colours: no other function, hence no url(), and no escape that hides one.
STYLE_VALUE = re.compile(
    r"""(?:[\w\s#%.,!+/-]|'[\w\s.,-]*'|"[\w\s.,-]*"|(?<![\w-])(?:rgb|hsl)a?\([\w\s.,%/-]*\))*""", re.ASCII
)
NEGATIVE = re.compile(r"(?:^|[\s,(])-[\d.]")
LINK = re.compile(r"(?:https?://|mailto:|tel:)", re.IGNORECASE)
IMAGE = re.compile(r"https?://", re.IGNORECASE)
TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]{0,30})")
# What has no end, or whose end may be left out because the next one of its kind ends it: these make nothing deeper.
FLAT = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
    "colgroup", "dd", "dt", "li", "option", "p", "tbody", "td", "tfoot", "th", "thead", "tr",
}  # fmt: skip


@dataclass(frozen=True)
class SafeHtml:
    html: str
    has_remote_images: bool


def safe_html(html: str) -> SafeHtml:
    """What may be shown of it. Images of other servers have `data-remote-src` instead of `src`."""
    rules = Rules()
    clean = nh3.clean(
        shallow(many_lines(html[:MOST])),
        tags=TAGS,
        clean_content_tags=EMPTY_WITH_CONTENT,
        attributes=ATTRIBUTES,
        attribute_filter=rules.filter,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        url_relative="deny",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    clean = clean.replace(f' src="{rules.mark}', ' data-remote-src="')
    return SafeHtml(many_lines(clean), rules.has_remote_images)  # once more, as entities are characters now


@dataclass
class Rules:
    """What becomes of each attribute of one piece of HTML."""

    # nh3 lets us change values only, not names. Nobody who wrote the HTML can know this.
    mark: str = field(default_factory=lambda: secrets.token_hex(16))
    has_remote_images: bool = False

    def filter(self, tag: str, attribute: str, value: str) -> str | None:
        """The value that an attribute gets, or None to drop it."""
        if attribute == "style":
            return safe_style(value)
        if attribute == "href":
            return value if LINK.match(value) else None
        if attribute != "src":
            return value
        if value[:4].lower() == "cid:":
            return "cid:" + value[4:]
        if not IMAGE.match(value):
            return None
        self.has_remote_images = True
        return self.mark + value


def safe_style(style: str) -> str | None:
    """The declarations that cannot fetch, run, or draw elsewhere."""
    kept = []
    for declaration in style[:STYLE].split(";"):
        name, _, value = declaration.partition(":")
        name = name.strip().lower()
        if STYLES.fullmatch(name) and STYLE_VALUE.fullmatch(value) and not NEGATIVE.search(value):
            kept.append(f"{name}:{value.strip()}")
    return ";".join(kept) or None


def shallow(html: str) -> str:
    """HTML up to where its elements lie too deep in each other. Honest HTML is not cut, by far."""
    is_open: Counter[str] = Counter()
    depth = 0
    for tag in TAG.finditer(html):
        name = tag[2].lower()
        if name in FLAT:
            continue
        if not tag[1]:
            is_open[name] += 1
            depth += 1
        elif is_open[name]:
            is_open[name] -= 1
            depth -= 1
        if depth > LEVELS:
            return html[: tag.start()]
    return html
