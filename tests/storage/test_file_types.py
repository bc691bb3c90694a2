"""What a file is and what it is called: hostile names, and contents that their names lie about."""

from __future__ import annotations

import unicodedata

import pytest

from storage.file_types import LONGEST_NAME, is_program, safe_name, type_of

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(40)
ZIP = b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(40)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40)
PE = b"MZ\x90\0\x03\0\0\0" + bytes(60)
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("brief.pdf", "brief.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Ada\\brief.pdf", "brief.pdf"),
        ("a/b\\c", "c"),
        ("..", "file"),
        ("", "file"),
        (" . ", "file"),
        ("dir/", "file"),
        (".htaccess", "htaccess"),
        ("brief.pdf\r\nSet-Cookie: a=b", "brief.pdfSet-Cookie: a=b"),
        ("brief\0.pdf", "brief.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),  # which would be shown as invoiceexe.pdf
        ("a\u2028b\u200bc\x85d\x7fe.txt", "abcde.txt"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("  many\t\n   spaces  .txt", "many spaces .txt"),
        ('quotes " and ; and %.txt', 'quotes " and ; and %.txt'),
        ("Müller-\N{GRINNING FACE}.jpg", "Müller-\N{GRINNING FACE}.jpg"),
        ("Mu\u0308ller.jpg", "M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller.jpg"),
        ("x" * 300 + ".docx", "x" * (LONGEST_NAME - 5) + ".docx"),
        ("x" * 300, "x" * LONGEST_NAME),
        ("x." + "y" * 300, "x." + "y" * (LONGEST_NAME - 2)),
    ],
)
def test_a_name_is_made_safe(given: str, name: str) -> None:
    assert safe_name(given) == name
    assert safe_name(name) == name


def test_no_character_of_a_name_is_unseen_or_part_of_a_path() -> None:
    for start in range(0, 0x110000, 64):
        name = safe_name("x".join(map(chr, range(start, start + 64))))
        assert not [
            each for each in name if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") or each in "/\\"
        ]


@pytest.mark.parametrize(
    ("head", "name", "found"),
    [
        (PNG, "a.png", "image/png"),
        (PNG, "a.html", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(40), "a", "image/jpeg"),
        (b"\xff\xd8\xff\xdb" + bytes(40), "a.txt", "image/jpeg"),
        (b"GIF89a" + bytes(40), "a.svg", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(40), "a", "image/webp"),
        (b"%PDF-1.7\n%\xe2\xe3", "a.pdf", "application/pdf"),
        (HTML, "a.png", "text/html"),
        (b"<script>alert(1)</script>", "a.png", "text/plain"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.png", "image/svg+xml"),
        (ZIP, "a.docx", WORD),
        (ZIP, "a.png", "application/zip"),
        (ZIP, "a", "application/zip"),
        (OLE, "a.doc", "application/msword"),
        (b"Hello, Z\xc3\xb6e!\r\n", "a.png", "text/plain"),
        (b"a,b\n1,2\n", "a.csv", "text/plain"),
        (b"BM is what the note begins with", "a", "text/plain"),
        ("é".encode() * 2000 + b"\xc3", "a.txt", "text/plain"),  # cut within a character
        (b"\xc3\x28", "a.txt", "application/octet-stream"),
        (b"text\0", "a.txt", "application/octet-stream"),
        (b"", "a.png", "application/octet-stream"),
        (bytes(range(256)), "a.jpg", "application/octet-stream"),
    ],
)
def test_a_type_is_found_in_the_content(head: bytes, name: str, found: str) -> None:
    assert type_of(head, name) == found


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (PE, "a.pdf"),
        (b"\x7fELF\x02\x01\x01" + bytes(40), "a"),
        (b"\xcf\xfa\xed\xfe" + bytes(40), "a.png"),
        (b"harmless", "setup.EXE"),
        (b"harmless", "brief.pdf.js"),
        (ZIP, "tool.jar"),
    ],
)
def test_what_runs_when_it_is_opened_is_a_program(head: bytes, name: str) -> None:
    assert is_program(head, name)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (PNG, "a.png"),
        (ZIP, "a.zip"),
        (b"MZ is a German postcode", "a.txt"),
        (b"", "exe"),
        (b"", "js"),
        (HTML, "a.html"),
    ],
)
def test_other_files_are_none(head: bytes, name: str) -> None:
    assert not is_program(head, name)
