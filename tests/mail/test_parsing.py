"""Mails, taken apart: what is in them arrives, and nothing that could do harm."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sync.mail import Address, MailFile, ParsedMail, Unparsable
from sync.mail_files import safe_name, type_of
from sync.mail_parsing import parse
from tests.mail import bombs

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
WHOLE = (
    b"Received: from mail.test by brand.test\r\n"
    b"From: =?utf-8?b?SsO8cmdlbg==?= <jurgen@mail.test>\r\n"
    b"To: Ann <ann@brand.test>\r\nCc: bob@brand.test\r\n"
    b"Subject: =?iso-8859-1?q?Gr=FC=DFe?=\r\n =?iso-8859-1?q?_an_alle?=\r\n"
    b"Date: Mon, 3 Feb 2025 10:00:00 +0100\r\n"
    b"Message-ID: <one@mail.test>\r\nIn-Reply-To: <zero@brand.test>\r\n"
    b"References: <first@brand.test>\r\n <zero@brand.test>\r\n"
    b'Content-Type: multipart/mixed; boundary="out"\r\n\r\nFor old readers.\r\n'
    b"--out\r\nContent-Type: multipart/related; boundary=in\r\n\r\n"
    b"--in\r\nContent-Type: multipart/alternative; boundary=alt\r\n\r\n"
    b"--alt\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Gr=C3=BC=C3=9Fe!\r\n\r\n-- \r\nJ=C3=BCrgen\r\n\r\nOn 2 Feb 2025, Ann <ann@brand.test> wrote:\r\n> Hi\r\n"
    b"--alt\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b'<p>Gr\xc3\xbc\xc3\x9fe!<img src="cid:logo@mail.test"><img src="https://mail.test/pixel"></p>\r\n--alt--\r\n'
    b"--in\r\nContent-Type: image/png\r\nContent-ID: <logo@mail.test>\r\nContent-Disposition: inline\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAA=\r\n--in--\r\n"
    b"--out\r\nContent-Type: application/pdf\r\n"
    b"Content-Disposition: attachment; filename*=utf-8''..%2F..%2Fetc%2FB%C3%BCrgschaft.pdf\r\n\r\n%PDF-1.7\r\n"
    b"--out--\r\nAfterwards.\r\n"
)


def text_mail(content: bytes, content_type: str = "text/plain; charset=utf-8", encoding: str = "8bit") -> ParsedMail:
    header = f"From: ann@mail.test\nContent-Type: {content_type}\nContent-Transfer-Encoding: {encoding}\n\n"
    return parse(header.encode() + content)


def file_mail(head: str, content: bytes = b"x") -> MailFile:
    raw = f"From: ann@mail.test\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{head}\n\n".encode() + content
    (file,) = parse(raw + b"\n--b--\n").files
    return file


def test_a_whole_mail() -> None:
    mail = parse(WHOLE)
    assert mail.message_id == "<one@mail.test>"
    assert mail.in_reply_to == ["<zero@brand.test>"]
    assert mail.references == ["<first@brand.test>", "<zero@brand.test>"]
    assert mail.sender == Address("jurgen@mail.test", "Jürgen")
    assert (mail.to, mail.cc) == ([Address("ann@brand.test", "Ann")], [Address("bob@brand.test")])
    assert mail.subject == "Grüße an alle"
    assert mail.sent_at == datetime(2025, 2, 3, 9, tzinfo=UTC)
    assert not mail.is_automatic
    assert mail.text == "Grüße!"
    assert mail.signature == "--\nJürgen"
    assert mail.quoted == "On 2 Feb 2025, Ann <ann@brand.test> wrote:\n> Hi"
    assert mail.html == '<p>Grüße!<img src="cid:logo@mail.test"><img data-remote-src="https://mail.test/pixel"></p>'
    assert mail.has_remote_images
    assert [(file.name, file.content_type, file.content_id, file.is_inline) for file in mail.files] == [
        ("attachment.png", "image/png", "logo@mail.test", True),
        ("Bürgschaft.pdf", "application/pdf", None, False),
    ]
    assert mail.files[0].content.startswith(PNG)
    assert mail.reports == []


def test_text_comes_from_html_where_there_is_none() -> None:
    mail = text_mail(b"<p>Hi <b>Ann</b></p><blockquote>old</blockquote>", "text/html")
    assert (mail.text, mail.quoted) == ("Hi Ann", "> old")
    assert mail.html == "<p>Hi <b>Ann</b></p><blockquote>old</blockquote>"


def test_a_list_s_footer_is_in_both_ways_of_saying_it() -> None:
    mail = parse(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=c\n\n"
        b"--c\n\nplain\n--c\nContent-Type: text/html\n\n<p>html</p>\n--c--\n--b\n\nfooter <&>\n--b--\n"
    )
    assert mail.text == "plain\n\nfooter <&>"
    assert mail.html is not None and "<p>html</p>" in mail.html and "footer &lt;&amp;&gt;" in mail.html


@pytest.mark.parametrize(
    ("content", "content_type", "encoding", "text"),
    [
        ("ü".encode(), "text/plain; charset=x-unknown", "8bit", "ü"),
        (b"\xfc", "text/plain; charset=x-unknown", "8bit", "ü"),
        (b"\xfc", "text/plain", "8bit", "ü"),
        (b"a\xffb", "text/plain; charset=utf-8", "8bit", "a\ufffdb"),
        (b"\x93a\x94", "text/plain; charset=iso-8859-1", "8bit", "“a”"),
        (b"=FC=", "text/plain; charset=iso-8859-1", "quoted-printable", "ü"),
        (b"w7w", "text/plain; charset=utf-8", "base64", "ü"),
        (b"\x1b$B$3$s\x1b(B", "text/plain; charset=iso-2022-jp", "7bit", "こん"),
        (b"+APw-", "text/plain; charset=utf-7", "7bit", "ü"),
        (b"a-b", "text/plain; charset=punycode", "7bit", "a-b"),
        (b"61", "text/plain; charset=hex", "7bit", "61"),
        (b"+2AA-x", "text/plain; charset=utf-7", "7bit", "x"),
        (b"a\x00\x07\x1b[1mb\x7f\tc\r\nd\re\xe2\x80\xa8f", "text/plain", "8bit", "a[1mb\tc\nd\ne\nf"),
        (b"one \ntwo", "text/plain; format=flowed", "7bit", "one two"),
        (b"hello", "", "", "hello"),
        (b"hello", "nonsense", "nonsense", "hello"),
        (b"hello", "multipart/mixed", "", "hello"),
        (b"hello", "multipart/mixed; boundary=b", "", "hello"),
        (b"begin 644 x\n#>'EZ\n`\nend\n", "text/plain", "x-uuencode", "xyz"),
    ],
)
def test_any_text_is_read(content: bytes, content_type: str, encoding: str, text: str) -> None:
    assert text_mail(content, content_type, encoding).text == text


@pytest.mark.parametrize("raw", [b"", b"\n", b"no header", b"From: a@b.test", b"\xff\xfe\x00", b"a: b\rc: d\r\rtext"])
def test_the_least_mails_are_mails(raw: bytes) -> None:
    assert parse(raw).subject == ""


def test_a_header_holds_no_line_end_however_it_is_encoded() -> None:
    mail = parse(bombs.HEADERS["an encoded line end"])
    assert mail.subject == "Hi Bcc: eve@mail.test"
    mail = parse(b"Subject: =?utf-8?q?a=C2=85b=E2=80=A8c=00d=1B?=\nFrom: =?utf-8?q?x=0Ay?= <a@b.test>\n\n")
    assert mail.subject == "a b cd"
    assert mail.sender == Address("a@b.test", "x y")


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system.ini", "system.ini"),
        ("..", ""),
        (".htaccess", "htaccess"),
        ("a\u202egpj.exe", "agpj.exe"),
        ('a<b>:"|?*.txt', "ab.txt"),
        ("x" * 300 + ".pdf", "x" * 180 + ".pdf"),
        ("naïve name.txt ", "naïve name.txt"),
    ],
)
def test_a_file_has_a_name_without_a_path(declared: str, name: str) -> None:
    assert safe_name(declared) == name


def test_a_file_without_a_name_is_given_one() -> None:
    assert file_mail("Content-Type: application/pdf", b"%PDF-1.7").name == "attachment.pdf"
    assert file_mail('Content-Type: x/y; name="=?utf-8?q?=C3=BC=2F..=2Fa?="').name == "a"


@pytest.mark.parametrize(
    ("content", "declared", "found"),
    [
        (PNG, "text/html", "image/png"),
        (PNG, "application/octet-stream", "image/png"),
        (b"<html><script>x</script>", "image/png", "application/octet-stream"),
        (b"<!DOCTYPE html>", "text/plain", "application/octet-stream"),
        (b"<svg xmlns='x'>", "image/svg+xml", "application/octet-stream"),
        (b"<?xml version='1.0'?><svg>", "image/png", "application/octet-stream"),
        (b"alert(1)", "text/javascript", "application/octet-stream"),
        (b"\n <script>alert(1)</script>", "text/html", "application/octet-stream"),
        (b"unknown", "image/png", "application/octet-stream"),
        (b"a,b\n1,2\n", "text/csv", "text/csv"),
        (b"\x00\x01", "text/plain", "application/octet-stream"),
        (b"", "text/plain", "text/plain"),
        (b"", "text/html", "application/octet-stream"),
        (b"%PDF-1.7", "application/x-pdf", "application/pdf"),
    ],
)
def test_a_file_is_what_its_content_shows(content: bytes, declared: str, found: str) -> None:
    assert type_of(content, declared) == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Received: from mail.test", b"Received: from elsewhere.test\r\nX-Spam: no\r\nReceived: again"),
        (b"Gr=C3=BC=C3=9Fe!\r\n", b"Gr=C3=BC=C3=9F=\r\ne!  =20\r\n"),
        (b"\r\n", b"\n"),
        (b"boundary=alt", b"boundary=alt; x=y"),
        (b"=?iso-8859-1?q?Gr=FC=DFe?=\r\n =?iso-8859-1?q?_an_alle?=", b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= an alle"),
        (b"<jurgen@mail.test>", b"<Jurgen@Mail.test>"),
    ],
)
def test_copies_of_a_mail_have_one_hash(before: bytes, after: bytes) -> None:
    assert before in WHOLE
    assert parse(WHOLE.replace(before, after)).content_hash == parse(WHOLE).content_hash


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"jurgen@", b"anna@"),
        (b"10:00:00", b"10:00:01"),
        (b"=FC=DFe", b"=FC=DF"),
        (b"9Fe!\r\n", b"9Fe.\r\n"),
        (b"> Hi", b"> Ho"),
        (b"</p>", b"?</p>"),
        (b"%PDF-1.7", b"%PDF-1.8"),
    ],
)
def test_other_mails_have_another(before: bytes, after: bytes) -> None:
    assert parse(WHOLE.replace(before, after)).content_hash != parse(WHOLE).content_hash


def test_caps_come_first() -> None:
    for name, words in [("2000 levels", "100 deep"), ("100,000 parts", "500 parts"), ("over 25 MB", "25 MB")]:
        with pytest.raises(Unparsable, match=words):
            parse(bombs.BOMBS[name])
    assert parse(bombs.BOMBS["90 levels"]).text == "innermost"
    assert {file.name for file in parse(bombs.BOMBS["400 files"]).files} == {"passwd"}
    assert len(parse(bombs.BOMBS["pairs of quotes"]).to) == 0
    assert len(parse(b"Subject: " + b"x" * 100_000 + b"\n\n").subject) == 1000


def test_a_mail_within_a_mail_is_a_file() -> None:
    inner = b"Subject: x\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ny\n--c--"
    file = file_mail("Content-Type: message/rfc822", inner)
    assert (file.name, file.content_type, file.content) == ("attachment.eml", "message/rfc822", inner)
