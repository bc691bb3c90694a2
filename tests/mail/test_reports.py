"""Bounces and complaints: what they say of which mail to whom. What people forward says nothing."""

from __future__ import annotations

import pytest

from sync.mail import Report, ReportKind
from sync.mail_parsing import parse

ORIGINAL = "Content-Type: message/rfc822\n\nMessage-ID: <sent@brand.test>\nSubject: Hi\n\nHello\n"


def report(kind: str, fields: str, original: str = ORIGINAL, outer: str = "multipart/report") -> bytes:
    return (
        f"From: MAILER-DAEMON@mail.test\nContent-Type: {outer}; report-type={kind}; boundary=b\n\n"
        f"--b\n\nIt could not be delivered.\n--b\nContent-Type: message/{kind}\n\n{fields}\n--b\n{original}--b--\n"
    ).encode()


def recipient(action: str, more: str = "") -> str:
    return f"\nFinal-Recipient: rfc822; ann@mail.test\nAction: {action}\nStatus: 5.1.1\n{more}"


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("failed", ReportKind.BOUNCE),
        ("Failed (unrecoverable error)", ReportKind.BOUNCE),
        ("Delayed", ReportKind.DELAY),
        ("delivered", ReportKind.DELIVERY),
    ],
)
def test_a_delivery_report_is_about_one_mail_and_recipient(action: str, kind: ReportKind) -> None:
    fields = "Reporting-MTA: dns; mail.test\n" + recipient(action, "Diagnostic-Code: smtp; 550 5.1.1\n No such user\n")
    assert parse(report("delivery-status", fields)).reports == [
        Report(kind, ["<sent@brand.test>"], "ann@mail.test", "5.1.1 550 5.1.1 No such user")
    ]


def test_each_recipient_has_a_report_under_the_address_that_we_used() -> None:
    fields = "Reporting-MTA: dns; mail.test\n" + recipient("failed") + (
        "\nOriginal-Recipient: rfc822;bob@mail.test\nFinal-Recipient: rfc822;robert@other.test\nAction: failed\n"
    )  # fmt: skip
    assert [found.recipient for found in parse(report("delivery-status", fields)).reports] == [
        "ann@mail.test",
        "bob@mail.test",
    ]


@pytest.mark.parametrize("action", ["relayed", "expanded", "", "exploded"])
def test_what_left_for_elsewhere_did_not_arrive(action: str) -> None:
    assert parse(report("delivery-status", recipient(action))).reports == []


def test_the_header_alone_is_enough_of_the_mail() -> None:
    original = "Content-Type: text/rfc822-headers\n\nMessage-ID: <sent@brand.test>\n"
    assert parse(report("delivery-status", recipient("failed"), original)).reports[0].message_ids == [
        "<sent@brand.test>"
    ]
    assert parse(report("delivery-status", recipient("failed"), "\n")).reports[0].message_ids == []


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        ("In-Reply-To: <sent@brand.test>\nReferences: <sent@brand.test> <other@brand.test>\n", ""),
        ("References: <before@brand.test>\n <sent@brand.test>\n", ""),
        ("", "X-Original-Message-ID: <sent@brand.test>\n"),
        ("In-Reply-To: <other@brand.test>\n", "X-Original-Message-ID: <sent@brand.test>\n"),
    ],
)
def test_a_report_that_returns_nothing_of_the_mail_names_it(header: str, fields: str) -> None:
    raw = report("delivery-status", f"Reporting-MTA: dns; mail.test\n{fields}" + recipient("failed"), "\n")
    (found,) = parse(header.encode() + raw).reports
    assert found.message_ids == ["<sent@brand.test>"]


def test_what_a_report_returns_says_more_than_what_it_answers() -> None:
    raw = report("delivery-status", recipient("failed"), ORIGINAL)
    (found,) = parse(b"In-Reply-To: <other@brand.test>\n" + raw).reports
    assert found.message_ids == ["<sent@brand.test>"]


def test_a_complaint_names_the_mail_and_perhaps_its_reader() -> None:
    fields = "Feedback-Type: abuse\nUser-Agent: Reports/1\nVersion: 1\nOriginal-Rcpt-To: <ann@mail.test>\n"
    assert parse(report("feedback-report", fields)).reports == [
        Report(ReportKind.COMPLAINT, ["<sent@brand.test>"], "ann@mail.test", "abuse Reports/1")
    ]
    assert parse(report("feedback-report", "Feedback-Type: abuse\n")).reports[0].recipient is None
    assert parse(report("feedback-report", "Feedback-Type: not-spam\n")).reports == []


def test_exim_says_it_in_the_header() -> None:
    raw = (
        b"From: Mailer <MAILER-DAEMON@mail.test>\nX-Failed-Recipients: ann@mail.test,\n bob@mail.test\n"
        b"Subject: Mail delivery failed\n\nThis message was created automatically.\n\n"
        b"------ This is a copy of the message ------\n\nFrom: us@brand.test\nMessage-Id: <sent@brand.test>\n\nHello\n"
    )
    assert parse(raw).reports == [
        Report(ReportKind.BOUNCE, ["<sent@brand.test>"], "ann@mail.test", "Mail delivery failed"),
        Report(ReportKind.BOUNCE, ["<sent@brand.test>"], "bob@mail.test", "Mail delivery failed"),
    ]


def test_exim_may_return_nothing() -> None:
    raw = b"X-Failed-Recipients: ann@mail.test\nReferences: <sent@brand.test>\nSubject: Failed\n\nToo large.\n"
    assert parse(raw).reports == [Report(ReportKind.BOUNCE, ["<sent@brand.test>"], "ann@mail.test", "Failed")]


def test_a_report_that_somebody_forwards_reports_nothing() -> None:
    inner = report("delivery-status", recipient("failed")).decode()
    attached = "From: ann@mail.test\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: message/rfc822\n\n"
    assert parse(f"{attached}{inner}\n--c--\n".encode()).reports == []
    assert parse(report("delivery-status", recipient("failed"), outer="multipart/mixed")).reports == []


def test_words_are_one_line_and_short() -> None:
    code = "Diagnostic-Code: smtp; =?utf-8?q?a=0D=0Ab?= " + "x" * 5000 + "\n"
    (found,) = parse(report("delivery-status", recipient("failed", code))).reports
    assert found.words.startswith("5.1.1 a b x")
    assert len(found.words) <= 500


def test_hostile_reports_are_bounded() -> None:
    assert len(parse(report("delivery-status", recipient("failed") * 5000)).reports) <= 100
    assert parse(report("delivery-status", "\n" * 50_000 + "no field\n" * 10_000)).reports == []
