"""Plain text from what a mail has instead of it: HTML, or lines that were broken for old screens (RFC 3676).

Both take linear time. Text goes back into HTML where a mail has both in a row.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# nh3 writes attributes in one way only, and no bare angle bracket anywhere.
PIECE = re.compile(r'<(/?)([a-z][a-z0-9]*)((?: [a-z-]+="[^"]*")*)>|([^<]+)|<')
LINK = re.compile(r' href="(https?://[^"]*)"')
ALT = re.compile(r' alt="([^"]*)"')
FILE = re.compile(r"\.\w{3,4}$")  # a name of a file tells a reader nothing
SPACE = re.compile(r"[ \t\n\r\f]+")
LINES = {
    "address", "article", "aside", "center", "dd", "div", "dt", "figure", "footer", "header", "hr", "li", "main", "nav",
    "section", "table", "tr", "caption", "figcaption", "details", "summary",
}  # fmt: skip
PARAGRAPHS = {"blockquote", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "ul"}
MANY_LINES = re.compile(r"\n{3,}")
QUOTES = 50  # levels of `>` that are shown


@dataclass
class Writing:
    """Text while it is written, line by line. Line ends wait until something is written after them."""

    lines: list[str] = field(default_factory=lambda: [""])
    ends: int = 0  # that wait
    quotes: int = 0
    last_quotes: int = 0  # in the last line
    verbatim: int = 0

    def write(self, text: str) -> None:
        if not self.verbatim:
            self.add(SPACE.sub(" ", text))
            return
        first, *rest = text.split("\n")
        self.add(first)
        for line in rest:
            self.ends += 1
            self.add(line)

    def add(self, text: str) -> None:
        if not self.verbatim and (self.ends or self.lines[-1][-1:] in ("", " ")):
            text = text.lstrip(" ")
        if not text:
            return
        if len(self.lines) > 1 or self.lines[0]:
            between = min(self.quotes, self.last_quotes)
            self.lines += [prefix(between)] * (self.ends - 1)
            self.lines += [prefix(self.quotes)] * (self.ends > 0)
        else:
            self.lines[0] = prefix(self.quotes)
        self.lines[-1] += text
        self.ends = 0
        self.last_quotes = self.quotes

    def end_line(self) -> None:
        self.ends = max(self.ends, 1)

    def end_paragraph(self) -> None:
        self.ends = max(self.ends, 2)


def prefix(quotes: int) -> str:
    return "> " * min(quotes, QUOTES)


def text_of(safe: str) -> str:
    """The text of HTML that `safe_html` made: with its line breaks, lists, links, and quotations marked by `>`."""
    writing = Writing()
    links: list[tuple[str, int]] = []
    for piece in PIECE.finditer(safe):
        end, tag, attributes, words = piece.groups()
        if words is not None:
            writing.write(html.unescape(words).replace("\xa0", " "))
        elif tag == "a":
            follow(writing, links, attributes, bool(end))
        elif tag is not None:
            lay_out(writing, tag, attributes, bool(end))
    return MANY_LINES.sub("\n\n", "\n".join(line.rstrip() for line in writing.lines)).strip("\n")


def follow(writing: Writing, links: list[tuple[str, int]], attributes: str, is_end: bool) -> None:
    """A link's address comes after its words, unless they are the address."""
    if not is_end:
        link = LINK.search(attributes)
        links.append((html.unescape(link[1]) if link else "", len(writing.lines[-1])))
    elif links:
        address, start = links.pop()
        words = writing.lines[-1][start:].strip()
        if address and address.rstrip("/") not in (words, f"https://{words}", f"http://{words}"):
            writing.write(f" <{address}>" if words else f"<{address}>")


def lay_out(writing: Writing, tag: str, attributes: str, is_end: bool) -> None:
    if tag == "br":
        writing.ends += 1
    elif tag == "img":
        alt = ALT.search(attributes)
        writing.write(html.unescape(alt[1]) if alt and not FILE.search(alt[1]) else "")
    elif tag in ("td", "th") and not is_end:
        writing.write(" ")
    elif tag in PARAGRAPHS:
        writing.end_paragraph()
    elif tag in LINES:
        writing.end_line()
    if tag == "blockquote":
        writing.quotes = max(0, writing.quotes + (-1 if is_end else 1))
    elif tag == "pre":
        writing.verbatim = max(0, writing.verbatim + (-1 if is_end else 1))
    elif tag == "li" and not is_end:
        writing.write("- ")


def flowing(text: str, deletes_space: bool) -> str:
    """Lines that end with a space go on in the next one, if it is quoted as deep (RFC 3676, `format=flowed`)."""
    return "\n".join(flowed_lines(text.split("\n"), deletes_space))


def flowed_lines(lines: list[str], deletes_space: bool) -> Iterator[str]:
    paragraph: list[str] = []
    level = 0
    for line in lines:
        depth = len(line) - len(line.lstrip(">"))
        words = line[depth:].removeprefix(" ")  # it was put before what must not be taken for a quotation
        is_flowed = words.endswith(" ") and words != "-- "
        if paragraph and (depth != level or words == "-- "):
            yield quoted(level, paragraph)
            paragraph = []
        level = depth
        paragraph.append(words[:-1] if is_flowed and deletes_space else words)
        if not is_flowed:
            yield quoted(level, paragraph)
            paragraph = []
    if paragraph:
        yield quoted(level, paragraph)


def quoted(level: int, paragraph: list[str]) -> str:
    text = "".join(paragraph)
    return f"{'>' * level} {text}" if level else text


def as_html(text: str) -> str:
    return f'<div style="white-space:pre-wrap">{html.escape(text)}</div>'
