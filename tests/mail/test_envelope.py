"""Envelopes: who a mail is from and to, from any bytes, in linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.mail import Address, Envelope
from sync.mail_addresses import addresses_of
from sync.mail_envelope import envelope_of
from sync.mail_headers import date_of, message_ids_of, value_of, without_field
from tests.mail.bombs import HEADERS

SECOND = 1.0  # of computing time; what is quadratic takes many of them, and linear time a fiftieth of it


def test_an_envelope_says_who_a_mail_is_from_and_to() -> None:
    envelope = envelope_of(
        b"Received: by somebody\r\n"
        b"From: =?utf-8?q?J=C3=BCrgen?= <jurgen@mail.test>\r\n"
        b"To: Ann <ann@brand.test>,\r\n\tbob@brand.test\r\n"
        b'Cc: "Doe, Jane" <jane@brand.test>\r\n'
        b"Message-ID: <one@mail.test>\r\n\r\n"
    )
    assert envelope == Envelope(
        message_id="<one@mail.test>",
        sender=Address("jurgen@mail.test", "Jürgen"),
        recipients=[
            Address("ann@brand.test", "Ann"),
            Address("bob@brand.test"),
            Address("jane@brand.test", "Doe, Jane"),
        ],
        is_automatic=False,
        is_report=False,
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("ann@mail.test", [("ann@mail.test", "")]),
        ("ann@mail.test (Ann (really) Bell)", [("ann@mail.test", "Ann (really) Bell")]),
        ('"Bell \\"A\\" Ann" <ann@mail.test>', [("ann@mail.test", 'Bell "A" Ann')]),
        ("team: ann@mail.test, Bob <bob@mail.test>;", [("ann@mail.test", ""), ("bob@mail.test", "Bob")]),
        ("undisclosed-recipients:;", []),
        ("Bell, Ann <ann@mail.test>", [("ann@mail.test", "Ann")]),
        ("<@relay.test:ann@mail.test>", [("ann@mail.test", "")]),
        ("=?utf-8?q?Bell,_Ann?= <ann@mail.test>", [("ann@mail.test", "Bell, Ann")]),
        ('"Ann <ann@mail.test>', [("ann@mail.test", "Ann")]),
        ("(never closed ann@mail.test", [("ann@mail.test", "")]),
        ('"boss@brand.test" <eve@mail.test>', [("eve@mail.test", "boss@brand.test")]),
        ("boss@brand.test <eve@mail.test>", [("eve@mail.test", "boss@brand.test")]),
        ('"a boss@brand.test"@mail.test', []),
        ("=?utf-8?q?a=40b=2Etest=2C?= <eve@mail.test>", [("eve@mail.test", "a@b.test,")]),
        ("=?utf-8?b?w7w=?= =?utf-8?b?w7w=?= <eve@mail.test>", [("eve@mail.test", "üü")]),
        ("=?utf-8?q?=C3?= =?utf-8?q?=BC?= <eve@mail.test>", [("eve@mail.test", "ü")]),
        ("nobody at all", []),
        ("", []),
    ],
)  # fmt: skip
def test_addresses_are_found_in_what_people_send(raw: str, expected: list[tuple[str, str]]) -> None:
    assert [(found.address, found.name) for found in addresses_of(raw)] == expected


@pytest.mark.parametrize(
    ("header", "is_automatic"),
    [
        (b"Auto-Submitted: auto-replied (vacation)", True),
        (b"Auto-Submitted: auto-generated; owner=x", True),
        (b"Auto-Submitted: no", False),
        (b"Precedence: bulk", True),
        (b"Precedence: list", False),
        (b"X-Autoreply: yes", True),
        (b"X-Auto-Response-Suppress: All", False),
        (b"Return-Path: <>", True),
        (b"Return-Path: <ann@mail.test>", False),
        (b"Content-Type: multipart/report; report-type=disposition-notification", True),
        (b"Subject: Auto-Submitted: auto-replied", False),
    ],
)
def test_what_a_machine_wrote_is_told_apart(header: bytes, is_automatic: bool) -> None:
    assert envelope_of(b"From: ann@mail.test\r\n" + header + b"\r\n\r\n").is_automatic is is_automatic


@pytest.mark.parametrize(
    ("header", "is_report"),
    [
        (b"Content-Type: multipart/report; report-type=delivery-status; boundary=b", True),
        (b'Content-Type: Multipart/Report; Report-Type="Feedback-Report"', True),
        (b"Content-Type: multipart/report; report-type=disposition-notification", False),
        (b"X-Failed-Recipients: ann@mail.test", True),
        (b"Content-Type: multipart/mixed; report-type=delivery-status", False),
    ],
)
def test_a_report_is_known_by_its_header(header: bytes, is_report: bool) -> None:
    assert envelope_of(header + b"\r\n\r\n").is_report is is_report


def test_a_list_of_addresses_is_read_up_to_a_limit() -> None:
    def found(count: int) -> int:
        listed = b",\r\n ".join(b"Somebody <somebody.%d@people.test>" % number for number in range(count))
        return len(envelope_of(b"To: " + listed + b"\r\nCc: " + listed + b"\r\n\r\n").recipients)

    assert [found(1800), found(2000), found(2500)] == [3600, 4000, 4000]


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_takes_long(name: str) -> None:
    start = time.process_time()
    envelope_of(HEADERS[name])
    assert time.process_time() - start < SECOND


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"From: ", b"To: ", b"Message-ID: ", b"Content-Type: ", b""]))
def test_no_bytes_are_too_wrong(data: bytes, name: bytes) -> None:
    envelope = envelope_of(name + data)
    texts = [envelope.message_id or ""]
    for address in filter(None, [envelope.sender, *envelope.recipients]):
        texts += [address.address, address.name]
    assert not any(is_control(character) for text in texts for character in text)


def is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f" or character in "\u2028\u2029"


def test_parameters_are_read_in_pieces_and_in_their_character_set() -> None:
    value = value_of('Attachment; filename*0*=utf-8\'\'Na%C3%AF; filename*1="ve.txt"; size="1;2"; x="a\\"b"')
    assert value.word == "attachment"
    assert value.parameters == {"filename": "Naïve.txt", "size": "1;2", "x": 'a"b'}


def test_message_ids_are_found_and_the_newest_kept() -> None:
    ids = [f"<{one}@mail.test>" for one in range(150)]
    assert message_ids_of("\r\n ".join([*ids, ids[-1]])) == ids[-100:]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"To: a\r\nBCC: b,\r\n c\r\nCc: d\r\nbcc : e\r\n\r\nBcc: f\r\n", b"To: a\r\nCc: d\r\n\r\nBcc: f\r\n"),
        (b"From a Mon\nBcc: b\n\nHi", b"From a Mon\n\nHi"),
        (b"To: a\rBcc: b\r\rHi", b"To: a\n\nHi"),
        (b"no header", b"no header"),
        (b"", b""),
    ],
)
def test_a_field_is_left_out_and_all_else_stays(raw: bytes, expected: bytes) -> None:
    assert without_field(raw, "bcc") == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T15:55:06+00:00"),
        ("21 Nov 1997 09:55:06", "1997-11-21T09:55:06+00:00"),
        ("Mon, 31 Feb 2020 10:00:00 +0000", None),
        ("31 Dec 9999 23:59:59 -2300", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_date_is_a_moment_or_nothing(raw: str, expected: str | None) -> None:
    found = date_of(raw)
    assert (found and found.isoformat()) == expected
