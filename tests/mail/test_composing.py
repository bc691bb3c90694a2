"""The mails that we write: read back by Python's own reader, they hold what was meant and nothing else."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any

import pytest
from aiosmtplib.email import parse_address
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.composing import OutgoingFile, OutgoingMail, compose
from sync.composing_headers import (
    REFERENCES,
    Uncomposable,
    file_name_of,
    header_block,
    is_address,
    is_message_id,
    safe_header,
    words_of,
)
from sync.mail import Address
from sync.mail_parsing import parse

PNG = OutgoingFile("logo.png", "image/png", b"\x89PNG\r\n\x1a\n", "logo@brand")
PDF = OutgoingFile("Offer.pdf", "application/pdf", b"%PDF-1.7\n" + bytes(range(256)) * 9)
MAIL = OutgoingMail(
    message_id="<message_01@brand.test>",
    sender=Address("anna@brand.test", "Anna Bell"),
    to=[Address("bob@mail.test", "Bob")],
    cc=[],
    subject="Summer",
    text="Hello Bob,\n\nbye\n",
    html=None,
    attachments=[],
    in_reply_to=None,
    references=[],
    date=datetime(2026, 11, 2, 9, 8, 7, tzinfo=UTC),
    automatic=False,
)
ALWAYS = ["Date", "From", "To", "Subject", "Message-ID", "MIME-Version", "Content-Type"]
INJECTED = [
    "\x00\r\n\t\r\nBcc: eve@evil.test",
    *(f"{end}Bcc: eve@evil.test" for end in ("\r\n", "\n", "\r", "\r\n\r\n", "\x85", "\u2028", "\x0b", "\x1c")),
    "=?utf-8?q?a=0D=0ABcc=3A_eve=40evil=2Etest?=",
    "=?utf-8?b?YQ0KQmNjOiBldmVAZXZpbC50ZXN0?=",
    "=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3D0D=3D0ABcc=3A=3F=3D?=",
    '"; Bcc="',
    "x>,<eve@evil.test",
    "a b",
]  # fmt: skip


def read(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def kinds(message: EmailMessage) -> Any:
    """The tree of content types."""
    kind = message.get_content_type()
    return (kind, [kinds(part) for part in message.iter_parts()]) if message.is_multipart() else kind  # type: ignore[arg-type]


def names(raw: bytes, header: str) -> list[str]:
    """The names in a header. Not by the newer of Python's readers, which puts spaces between encoded words."""
    value = str(email.message_from_bytes(raw)[header])
    return [str(make_header(decode_header(name))) for name, _ in getaddresses([value])]


def text_of(message: EmailMessage) -> str:
    """Its text, as it was before line ends were made those of mail."""
    return str(message.get_content()).replace("\r\n", "\n")


def lines_of(raw: bytes) -> list[bytes]:
    """All lines, which end with CRLF and hold neither CR nor LF."""
    assert raw.endswith(b"\r\n")
    lines = raw.removesuffix(b"\r\n").split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    return lines


def test_text_alone() -> None:
    raw = compose(MAIL)
    message = read(raw)
    assert message.keys() == [*ALWAYS, "Content-Transfer-Encoding"]
    assert message["From"] == "Anna Bell <anna@brand.test>"
    assert message["Date"] == "Mon, 02 Nov 2026 09:08:07 +0000"
    assert message["Message-ID"] == MAIL.message_id
    assert message["MIME-Version"] == "1.0"
    assert message.get_content_type() == "text/plain"
    assert message.get_content_charset() == "utf-8"
    assert text_of(message) == MAIL.text
    assert raw == compose(MAIL), "each try sends the same"


def test_text_and_html_are_alternatives_the_best_last() -> None:
    message = read(compose(replace(MAIL, html="<p>Hello Bób</p>")))
    assert kinds(message) == ("multipart/alternative", ["text/plain", "text/html"])
    text, html = message.iter_parts()
    assert text_of(text) == MAIL.text  # type: ignore[arg-type]
    assert text_of(html) == "<p>Hello Bób</p>\n"  # type: ignore[arg-type]


def test_images_that_the_html_shows_belong_to_it_and_other_files_to_the_mail() -> None:
    unseen = replace(PNG, name="other.png", content_id="other@brand")
    mail = replace(MAIL, html='<img src="cid:logo@brand">', attachments=[PDF, PNG, unseen])
    message = read(compose(mail))
    related = ("multipart/related", ["text/html", "image/png"])
    alternative = ("multipart/alternative", ["text/plain", related])
    assert kinds(message) == ("multipart/mixed", [alternative, "application/pdf", "image/png"])
    shown, pdf, other = (part for part in message.walk() if part.get_filename())
    assert [shown["Content-ID"], shown.get_content_disposition()] == ["<logo@brand>", "inline"]
    assert [part.get_content_disposition() for part in (pdf, other)] == ["attachment"] * 2
    assert [part.get_filename() for part in (shown, pdf, other)] == ["logo.png", "Offer.pdf", "other.png"]
    assert [part.get_payload(decode=True) for part in (shown, pdf)] == [PNG.content, PDF.content]


@pytest.mark.parametrize(("id", "written"), [("a@b", "a@b"), ("a@b", "a%40b"), ("a%40b", "a%40b")])
def test_an_image_is_found_however_the_html_writes_its_content_id(id: str, written: str) -> None:
    file = replace(PNG, content_id=id)
    message = read(compose(replace(MAIL, html=f"<img src=cid:{written}>", attachments=[file])))
    assert kinds(message) == (
        "multipart/alternative",
        ["text/plain", ("multipart/related", ["text/html", "image/png"])],
    )


def test_files_without_html() -> None:
    message = read(compose(replace(MAIL, attachments=[PNG, PDF])))
    assert kinds(message) == ("multipart/mixed", ["text/plain", "image/png", "application/pdf"])


@pytest.mark.parametrize("type", ["message/rfc822", "multipart/mixed", "image", "", "a/b\r\nBcc: x", "text/ü", "*/*"])
def test_a_file_whose_type_cannot_be_said_is_just_a_file(type: str) -> None:
    raw = compose(replace(MAIL, attachments=[replace(PDF, content_type=type)]))
    assert kinds(read(raw)) == ("multipart/mixed", ["text/plain", "application/octet-stream"])


def test_parameters_of_a_type_are_left_out() -> None:
    raw = compose(replace(MAIL, attachments=[replace(PDF, content_type="Text/HTML; charset=x; boundary=y")]))
    assert kinds(read(raw)) == ("multipart/mixed", ["text/plain", "text/html"])


def test_all_lines_are_short() -> None:
    long = "ä" * 5000 + " " + "b" * 5000
    mail = replace(
        MAIL, subject=long, sender=replace(MAIL.sender, name=long), text=long, html=f"<p>{long}</p>",
        cc=[Address(f"{'a' * 20}{number}@mail.test", "Name, the") for number in range(50)],
        attachments=[replace(PDF, name=long)], references=[f"<{number}@mail.test>" for number in range(99)],
    )  # fmt: skip
    raw = compose(mail)
    assert raw.isascii()
    assert max(map(len, lines_of(raw))) <= 76
    message = read(raw)
    assert [each.addr_spec for each in message["Cc"].addresses] == [each.address for each in mail.cc]
    assert [each.display_name for each in message["Cc"].addresses] == ["Name, the"] * 50


def test_what_cannot_be_broken_still_fits_into_a_line() -> None:
    address = f"{'a' * 64}@{'b' * 180}.test"
    mail = replace(MAIL, to=[Address(address)], message_id=f"<{'c' * 490}@x>", references=[f"<{'d' * 490}@x>"])
    assert max(map(len, lines_of(compose(mail)))) <= 998
    assert read(compose(mail))["To"].addresses[0].addr_spec == address


def test_each_encoded_word_is_whole() -> None:
    words = words_of("\N{GRINNING FACE}" * 40 + "ü" * 101)
    assert max(map(len, words)) <= 75
    decoded = [decode_header(word)[0][0].decode() for word in words]
    assert "".join(decoded) == "\N{GRINNING FACE}" * 40 + "ü" * 101


@pytest.mark.parametrize(
    "text", ["\n.\n", "\r.\r", "\r\n.\r\n", ".", "..\n.a\n.\n", "a\n.\r\nb\r\r\n\n\rc", "From me\n."]
)
def test_no_text_can_end_the_mail(text: str) -> None:
    raw = compose(replace(MAIL, text=text, html=text, attachments=[replace(PDF, content=text.encode())]))
    assert b"." not in lines_of(raw)
    plain = next(part for part in read(raw).walk() if part.get_content_type() == "text/plain")
    meant = re.sub("\r\n|\r|\n", "\n", text)
    assert text_of(plain) == (meant if meant.endswith("\n") else meant + "\n")


def test_no_text_can_end_a_part() -> None:
    whole = compose(replace(MAIL, html="<p>", attachments=[PDF])).decode()
    mail = replace(MAIL, text=whole, html=whole, attachments=[replace(PDF, content=whole.encode())])
    assert kinds(read(compose(mail))) == (
        "multipart/mixed", [("multipart/alternative", ["text/plain", "text/html"]), "application/pdf"],
    )  # fmt: skip


def test_an_answer_says_what_it_answers() -> None:
    chain = ["<1@mail.test>", "<2@mail.test>", "<3@mail.test>"]
    message = read(compose(replace(MAIL, references=chain[:2], in_reply_to=chain[2])))
    assert message["In-Reply-To"] == chain[2]
    assert message["References"].split() == chain
    again = read(compose(replace(MAIL, references=chain, in_reply_to=chain[2])))
    assert again["References"].split() == chain, "the answered mail is named once, and last"


def test_a_long_chain_keeps_its_first_and_its_newest() -> None:
    chain = [f"<{number:04}-{'x' * 60}@mail.test>" for number in range(1000)]
    raw = compose(replace(MAIL, references=chain, in_reply_to=chain[-1]))
    kept = read(raw)["References"].split()
    assert sum(map(len, kept)) <= REFERENCES
    assert kept[0] == chain[0]
    assert kept[1:] == chain[-len(kept) + 1 :]
    assert len(kept) > 40


def test_message_ids_of_others_that_cannot_be_repeated_are_left_out() -> None:
    good = "<[[[.odd\"one'(without)at>"
    bad = [
        "",
        "a@b",
        "<a b@c>",
        "<a@b>\r\nBcc: x",
        "<ä@b>",
        "<=?utf-8?q?a=0D=0ABcc=3Ax?=@b>",
        f"<{'a' * 600}@b>",
        "<<a>>",
    ]
    message = read(compose(replace(MAIL, references=[*bad, good], in_reply_to=bad[3])))
    assert message.keys() == [*ALWAYS[:5], "References", *ALWAYS[5:], "Content-Transfer-Encoding"]
    assert message["References"] == good


def test_automatic_mail_says_so() -> None:
    assert read(compose(replace(MAIL, automatic=True)))["Auto-Submitted"] == "auto-generated"
    assert read(compose(MAIL))["Auto-Submitted"] is None


def test_a_date_is_one_moment_wherever_it_is_told() -> None:
    there = MAIL.date.astimezone(timezone(timedelta(hours=5, minutes=30, seconds=1)))
    assert compose(replace(MAIL, date=there)) == compose(MAIL)
    with pytest.raises(Uncomposable):
        compose(replace(MAIL, date=MAIL.date.replace(tzinfo=None)))


@pytest.mark.parametrize("field", ["message_id", "sender", "to", "cc"])
@pytest.mark.parametrize("said", INJECTED)
def test_what_must_be_right_is_refused_where_it_is_not(field: str, said: str) -> None:
    for wrong in (
        said,
        f"<a@brand.test>{said}",
        f"a{said}@brand.test",
        f"a@brand.test{said}",
        f"a@{said}",
        f"<{said}>",
    ):
        wrongs: dict[str, Any] = {"message_id": wrong, "sender": Address(wrong)}
        with pytest.raises(Uncomposable) as raised:
            compose(replace(MAIL, **{field: wrongs.get(field, [Address(wrong)])}))
        assert wrong not in str(raised.value)


@pytest.mark.parametrize("said", INJECTED)
def test_nothing_can_be_injected(said: str) -> None:
    """Into any field that somebody else may have written."""
    file = OutgoingFile(said, said, said.encode(), said)
    mail = replace(
        MAIL, sender=replace(MAIL.sender, name=said), to=[replace(MAIL.to[0], name=said)], subject=said, text=said,
        cc=[Address("c@mail.test", said)], html=f"cid:{said}", in_reply_to=f"<a@b>{said}",
        references=[said, f"<{said}>"], attachments=[file, replace(PNG, name=said), replace(PDF, name=said)],
    )  # fmt: skip
    raw = compose(mail)
    lines_of(raw)
    meant = ["Date", "From", "To", "Cc", "Subject", "Message-ID", "MIME-Version", "Content-Type"]
    for policy in (email.policy.default, email.policy.compat32):
        message = email.message_from_bytes(raw, policy=policy)
        assert message.keys() == meant
        assert len([part for part in message.walk() if part.get_filename()]) == 3
    message = read(raw)
    assert message["Subject"] == safe_header(said)
    assert names(raw, "From") == names(raw, "To") == names(raw, "Cc") == [safe_header(said)]
    assert {part.get_filename() for part in message.walk()} == {None, file_name_of(said)}
    assert [each.addr_spec for each in message["To"].addresses] == ["bob@mail.test"]


@pytest.mark.parametrize(
    "words", [["a\r\nBcc: b"], ["a\nb"], ["a\rb"], ["a", "\r\n"], ["a\r\n\r\nb"], ["a\r\n b"], ["a\r\n", "b"]]
)  # fmt: skip
def test_headers_that_would_not_hold_what_is_meant_are_not_written(words: list[str]) -> None:
    """Whatever the rules before might let through."""
    with pytest.raises(Uncomposable):
        header_block([("Subject", words), ("To", ["c"])])


TEXTS = st.text(st.one_of(st.sampled_from('\r\n =?"\\<>,;:@().\t\x00\x85\u2028ü'), st.characters()), max_size=120)
PIECES = ["=?utf-8?q?", "a=0D=0ABcc=3A", "?=", " ", "\r\n", "x", "ä", '"']
HEADERS = st.one_of(TEXTS, st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
ADDRESSES = st.one_of(
    HEADERS, st.builds("{}@{}".format, HEADERS, HEADERS), st.from_regex(r"[!-~]{1,9}@[!-~]{1,9}", fullmatch=True)
)
drawn = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@drawn
@given(HEADERS)
def test_a_subject_arrives(subject: str) -> None:
    raw = compose(replace(MAIL, subject=subject))
    assert max(map(len, lines_of(raw))) <= 78
    message = read(raw)
    assert message.keys() == [*ALWAYS, "Content-Transfer-Encoding"]
    assert message["Subject"] == safe_header(subject)


@drawn
@given(HEADERS, HEADERS)
def test_names_arrive(one: str, other: str) -> None:
    to = [Address("a@mail.test", one), Address("b@mail.test", other), Address("c@mail.test")]
    raw = compose(replace(MAIL, sender=replace(MAIL.sender, name=one), to=to))
    message = read(raw)
    assert message.keys() == [*ALWAYS, "Content-Transfer-Encoding"]
    assert [each.addr_spec for each in message["To"].addresses] == [each.address for each in to]
    assert names(raw, "To") == [safe_header(each.name) for each in to]


@drawn
@given(HEADERS)
def test_file_names_arrive(name: str) -> None:
    message = read(compose(replace(MAIL, attachments=[replace(PDF, name=name)])))
    assert kinds(message) == ("multipart/mixed", ["text/plain", "application/pdf"])
    part = list(message.iter_parts())[1]
    assert part.keys() == ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition"]
    assert str(part.get_filename()).strip() == file_name_of(name).strip()
    assert not re.search(r"[/\\\r\n\x00]", file_name_of(name))


@drawn
@given(TEXTS)
def test_texts_arrive(text: str) -> None:
    raw = compose(replace(MAIL, text=text))
    assert max(map(len, lines_of(raw))) <= 76
    meant = re.sub("\r\n|\r|\n", "\n", text).removesuffix("\n") + "\n"
    assert text_of(read(raw)) == meant.encode("utf-8", "replace").decode()


@drawn
@given(ADDRESSES)
def test_an_address_is_the_same_for_whoever_reads_it(text: str) -> None:
    if not is_address(text):
        with pytest.raises(Uncomposable):
            compose(replace(MAIL, to=[Address(text)]))
        return
    assert not set(text) & set('\r\n <>()[]\\,;:"')
    assert parse_address(text) == text
    message = read(compose(replace(MAIL, to=[Address(text), Address("b@mail.test")])))
    assert message.keys() == [*ALWAYS, "Content-Transfer-Encoding"]
    assert message["To"].addresses[-1].addr_spec == "b@mail.test"


@drawn
@given(st.one_of(HEADERS, HEADERS.map("<{}>".format)))
def test_message_ids_are_repeated_as_they_are(text: str) -> None:
    message = read(compose(replace(MAIL, in_reply_to=text)))
    answers = ["In-Reply-To", "References"] if is_message_id(text) else []
    assert message.keys() == [*ALWAYS[:5], *answers, *ALWAYS[5:], "Content-Transfer-Encoding"]
    assert not answers or message["References"] == text


def test_addresses_with_other_letters_stand_as_they_are_but_for_their_domain() -> None:
    raw = compose(replace(MAIL, to=[Address("jörg@bücher.test", "Jörg")]))
    message = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
    assert "<jörg@xn--bcher-kva.test>".encode() in raw and "bücher".encode() not in raw
    assert message["To"].addresses[0].display_name == "Jörg"


def test_what_we_write_we_can_read() -> None:
    """As we do with what comes back from the Sent folder, or is answered."""
    name = "Александра Константинопольская, 漢字 and others of a long name"
    mail = replace(
        MAIL, sender=replace(MAIL.sender, name=name), subject=f"{name} " * 5, text="Hello\n\n.\nДобрый день",
        automatic=True, html='<p>Hello <img src="cid:logo@brand"></p>', references=["<1@mail.test>"],
        attachments=[PNG, replace(PDF, name=f"{name}.pdf")], in_reply_to="<2@mail.test>",
    )  # fmt: skip
    parsed = parse(compose(mail))
    assert (parsed.message_id, parsed.in_reply_to) == (mail.message_id, ["<2@mail.test>"])
    assert parsed.references == ["<1@mail.test>", "<2@mail.test>"]
    assert (parsed.sender, parsed.to, parsed.sent_at) == (mail.sender, mail.to, mail.date)
    assert parsed.subject == mail.subject.strip()
    assert parsed.text.strip() == mail.text
    assert parsed.is_automatic
    assert {(each.name, each.content, each.content_id) for each in parsed.files} == {
        (PNG.name, PNG.content, PNG.content_id), (f"{name}.pdf", PDF.content, None),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "_.._etc_passwd"), ("C:\\x\\y.doc", "C:_x_y.doc"), ("", "file"), ("..", "file"),
        ("a\r\n.pdf", "a .pdf"), ('"a".pdf', "_a_.pdf"),
        ("x" * 300 + ".pdf", "x" * 146 + ".pdf"), ("y" * 300, "y" * 150),
    ],
)  # fmt: skip
def test_file_names_have_no_path(name: str, kept: str) -> None:
    assert file_name_of(name) == kept
