"""Mails that are built to exhaust whoever reads them. None of them was ever sent."""

from __future__ import annotations

MB = 1024 * 1024
TEXT = b"From: Ann <ann@mail.test>\r\nContent-Type: text/plain\r\n\r\n"
HTML = b"From: Ann <ann@mail.test>\r\nContent-Type: text/html\r\n\r\n"
MIXED = b"From: Ann <ann@mail.test>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"


def nested(levels: int) -> bytes:
    parts = (b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (one, one) for one in range(levels))
    return b"".join(parts) + b"\r\ninnermost\r\n"


def formatting(different: int, paragraphs: int) -> bytes:
    """A browser makes as many elements of it as these two numbers multiplied."""
    opened = b"".join(b"<b title=%d>" % one for one in range(different))
    return HTML + b"<p>" + opened + b"</p>" + b"<p>x</p>" * paragraphs


HEADERS = {
    "pairs of quotes": b"To: " + b'""' * 20_000 + b"\r\n\r\nhello",
    "quotes that never end": b"To: " + b'"\\' * 20_000 + b"\r\n\r\nhello",
    "brackets in a Message-ID": b"Message-ID: <[[[\r\n\r\nhello",
    "comments in a sender": b"From: (((((\r\n\r\nhello",
    "many comments": b"From: " + b"(" * 100_000 + b"\r\n\r\nhello",
    "angle brackets": b"From: " + b"<" * 100_000 + b"\r\n\r\nhello",
    "at signs": b"To: " + b"@" * 100_000 + b"\r\n\r\nhello",
    "encoded words that never end": b"Subject: " + b"=?x?q?" * 20_000 + b"\r\n\r\nhello",
    "parameters that never end": b"Content-Type: text/plain" + b';a="\\' * 20_000 + b"\r\n\r\nhello",
    "very many fields": b"a:\r\n" * 60_000 + b"\r\nhello",
    "a field of very many lines": b"To: a" + b"\r\n b" * 60_000 + b"\r\n\r\nhello",
    "one address very often": b"To: " + b"a@b," * 60_000 + b"\r\n\r\nhello",
    "signs that are no words": b"To: " + b"=," * 120_000 + b"\r\n\r\nhello",
    "an encoded line end": b"Subject: =?utf-8?q?Hi=0D=0ABcc=3A_eve=40mail.test?=\r\n\r\nhello",
}
BOMBS = HEADERS | {
    "2000 levels": nested(2000),
    "90 levels": nested(90),
    "On On On": TEXT + b"On " * 10_000,
    "lines that begin like a reply": TEXT + b"On 1 2 wrote <a@\r\n" * 10_000,
    "line feeds": TEXT + b"\n" * 20_000,
    "dashes": TEXT + b"--\r\n" * 20_000,
    "quotations": TEXT + b"> a\r\nb\r\n" * 20_000,
    "nested div": HTML + b"<div>" * 50_000,
    "nested div that seems closed": HTML + b"<div a=</div>" * 20_000,
    "nested tables": HTML + b"<table><tr><td>" * 20_000,
    "formatting that is never closed": formatting(500, 100_000),
    "comments that never end": HTML + b"<!--" * 100_000,
    "tags that never end": HTML + b'<a b="' * 100_000,
    "100,000 parts": MIXED + b"--b\r\n\r\nx\r\n" * 100_000,
    "400 files": MIXED + b"--b\r\nContent-Disposition: attachment; filename=../../etc/passwd\r\n\r\nx\r\n" * 400,
    "25 MB of text": TEXT + b"x" * (25 * MB - len(TEXT)),
    "25 MB of line feeds": TEXT + b"\n" * (25 * MB - len(TEXT)),
    "over 25 MB": TEXT + b"x" * (25 * MB),
}
# What takes more than a worker may: it is ended.
DEADLY = {"25 MB of delimiters": MIXED + b"--c\n" * (25 * MB // 4 - 100)}
