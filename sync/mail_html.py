"""HTML of a mail that can be shown: nothing in it runs, and nothing is fetched unless its reader asks for it.

nh3 builds the tree and drops what is not listed here. It does not look into styles, and it takes quadratic time and
memory where formatting is not closed, and time where elements lie very deep in each other. Both are dealt with here,
but not every depth can be seen before: what is longer than some 200 KB belongs into a worker (sync/mail_workers.py).
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
# A tag just as a browser reads it, what it passes over, and what goes on to the end.
TOKEN = re.compile(
    r"""<!--(?:-?>|.*?--!?>)
    |   <(?:[!?](?!--)|/[^a-zA-Z>])[^>]*+>?
    |   <(?P<end>/?)(?P<name>[a-zA-Z][^ \t\n/>]*+)
        (?:[ \t\n/]*+(?:=?[^ \t\n/>=]++|=)(?:[ \t\n]*+=[ \t\n]*+(?:"[^"]*+"|'[^']*+'|[^ \t\n"'>][^ \t\n>]*+)?+)?+)*+
        [ \t\n/]*+>
    |   (?P<rest><(?:!--|/?[a-zA-Z]))""",
    re.VERBOSE | re.DOTALL,
)

# Where one of these is not closed, a browser opens it again in every paragraph that follows, with all others that are
# not. It does so at most three times for the same tag, so that only many different ones are many.
FORMATTING = {
    "b": "font-weight:bold", "big": "font-size:larger", "code": "font-family:monospace", "em": "font-style:italic",
    "font": "", "i": "font-style:italic", "nobr": "white-space:nowrap", "s": "text-decoration:line-through",
    "small": "font-size:smaller", "strike": "text-decoration:line-through", "strong": "font-weight:bold",
    "tt": "font-family:monospace", "u": "text-decoration:underline",
}  # fmt: skip
FORMAT = re.compile(rf"<(/?)({'|'.join(FORMATTING)})(?=[\s/>])([^<>]*>?)", re.IGNORECASE)
REOPENED = 300_000  # elements that may come of that

# Whether what is in these is text or tags depends on what they are in.
UNSURE = {
    "iframe", "math", "noembed", "noframes", "noscript", "plaintext", "script", "select", "style", "svg", "template",
    "textarea", "title", "xmp",
}  # fmt: skip
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
        shallow(closed(whole(many_lines(html[:MOST])))),
        tags=TAGS,
        clean_content_tags=EMPTY_WITH_CONTENT,
        attributes=ATTRIBUTES,
        attribute_filter=rules.filter,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        url_relative="deny",
        link_rel=rules.mark,
    )
    clean = clean.replace(f' src="{rules.mark}', ' data-remote-src="')
    clean = clean.replace(f' rel="{rules.mark}"', ' target="_blank" rel="noopener noreferrer"')
    return SafeHtml(many_lines(clean), rules.has_remote_images)  # once more, as entities are characters now


@dataclass
class Rules:
    """What becomes of each attribute of one piece of HTML."""

    # nh3 lets us change values only, not names, and takes absolute addresses only. Who wrote the HTML cannot know this.
    mark: str = field(default_factory=lambda: f"https://{secrets.token_hex(16)}/")
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


def whole(html: str) -> str:
    """HTML without a tag or comment that never ends, which goes on to the end, and without what only XML knows."""
    html = html.replace("<![CDATA[", "")
    end = next((token.start() for token in TOKEN.finditer(html) if token["rest"]), len(html))
    return html[:end]


def shallow(html: str) -> str:
    """HTML up to where its elements lie too deep in each other. Honest HTML is not cut, by far."""
    is_open: Counter[str] = Counter()
    depth = 0
    for token in TOKEN.finditer(html):
        name = (token["name"] or "").lower()
        if name in UNSURE:
            is_open.clear()  # what is open counts for good: in here it may seem to be closed
        if token["name"] is None or name in FLAT:
            continue
        if not token["end"]:
            is_open[name] += 1
            depth += 1
        elif is_open[name]:
            is_open[name] -= 1
            depth -= 1
        if depth > LEVELS:
            return html[: token.start()]
    return html


def closed(html: str) -> str:
    """HTML in which little can be opened again: where it could be much, formatting becomes spans, which never are."""
    tags = (token for token in TOKEN.finditer(html) if token["name"] and token["name"].lower() in FORMATTING)
    different = {token[0] for token in tags if not token["end"]}
    return FORMAT.sub(as_span, html) if 3 * len(different) * html.count("<") > REOPENED else html


def as_span(tag: re.Match[str]) -> str:
    if tag[1]:
        return f"</span{tag[3]}"
    style = FORMATTING[tag[2].lower()]
    return f'<span style="{style}"{tag[3]}' if style else f"<span{tag[3]}"
