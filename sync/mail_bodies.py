"""What a mail says, as text and as HTML, out of its parts.

What stands in a `multipart/alternative` says the same in several ways; everything else is said one after the other, in
both. Each of these is a section here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sync.mail_charsets import decoded, many_lines
from sync.mail_files import declared_name
from sync.mail_headers import value_of
from sync.mail_html import safe_html
from sync.mail_structure import Part, leaves_of
from sync.mail_text import as_html, flowing, text_of

# As much as a reader reads. A mail is stored raw as well, and there all of it is.
TEXT = 1024 * 1024  # characters
BODY = 4 * TEXT  # bytes of one part


@dataclass
class Section:
    """One thing said, as text, as HTML, or as both."""

    plain: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Bodies:
    text: str
    html: str | None
    has_remote_images: bool
    written: list[str]  # what was found, decoded and otherwise as its author wrote it
    files: list[Part]


def bodies_of(root: Part, raw: bytes) -> Bodies:
    sections: dict[int, Section] = {}
    files: list[Part] = []
    written: list[str] = []
    for part in leaves_of(root):
        if not is_body(part):
            files.append(part)
            continue
        section = sections.setdefault(id(part.alternative or part), Section())
        text = many_lines(decoded(part.content(raw)[:BODY], part.content_type.parameters.get("charset")))
        written.append(text)
        if part.content_type.word == "text/html":
            section.html.append(text)
        else:
            section.plain.append(reflowed(part, text))
    has_html = any("".join(section.html).strip() for section in sections.values())
    html = safe_html("\n".join(map(html_of, sections.values()))) if has_html else None
    return Bodies(
        text="\n\n".join(filter(None, map(plain_of, sections.values())))[:TEXT],
        html=html.html if html else None,
        has_remote_images=html is not None and html.has_remote_images,
        written=written,
        files=files,
    )


def is_body(part: Part) -> bool:
    """Whether it is to be read where the mail is, rather than a file. A mail without any type is text."""
    kind = part.content_type.word
    if kind not in ("text/plain", "text/html", "") and not kind.startswith("multipart/") and "/" in kind:
        return False
    if value_of(part.header.raw("content-disposition")).word == "attachment":
        return False
    return part.level == 0 or not declared_name(part)


def reflowed(part: Part, text: str) -> str:
    parameters = part.content_type.parameters
    if parameters.get("format", "").lower() != "flowed":
        return text
    return flowing(text, deletes_space=parameters.get("delsp", "").lower() == "yes")


def plain_of(section: Section) -> str:
    text = "\n".join(section.plain)
    if text.strip() or not section.html:
        return text.strip("\n")
    return text_of(safe_html("\n".join(section.html)).html)


def html_of(section: Section) -> str:
    plain = "\n".join(section.plain).strip("\n")
    return "\n".join(section.html) or (as_html(plain) if plain else "")
