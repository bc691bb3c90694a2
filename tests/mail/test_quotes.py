"""Replies: what was written now stands apart from the history and the signature, and nothing is lost."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.mail_charsets import many_lines
from sync.mail_quotes import Reply, split_reply
from tests.mail.corpus import corpus

ENOUGH = 60  # of the 64 in the corpus


def lines_of(*texts: str | None) -> Counter[str]:
    return Counter(line.rstrip() for text in texts for line in (text or "").split("\n") if line.strip())


def comparable(text: str) -> str:
    return "\n".join(line.rstrip() for line in many_lines(text).split("\n")).strip("\n")


def test_a_reply_is_three_things() -> None:
    reply = split_reply(
        "Yes, gladly.\n\nAnn\n\n-- \nAnn Bell\nMail Test Ltd\n\n"
        "On Mon, 3 Feb 2025 at 10:00, Bob <bob@brand.test> wrote:\n> Will you?\n>\n> Bob\n"
    )
    assert reply == Reply(
        text="Yes, gladly.\n\nAnn",
        quoted="On Mon, 3 Feb 2025 at 10:00, Bob <bob@brand.test> wrote:\n> Will you?\n>\n> Bob",
        signature="-- \nAnn Bell\nMail Test Ltd".replace("-- ", "--"),
    )


@pytest.mark.parametrize(
    "opening",
    [
        "On Mon, 3 Feb 2025 at 10:00, Bob <bob@brand.test> wrote:",
        "On Monday, 3 February 2025,\n10:15:12 CET, Bob <bob@brand.test> wrote:",
        "Le lun. 3 févr. 2025 à 10:00, Bob <bob@brand.test> a écrit :",
        "Am Mo., 3. Feb. 2025 um 10:00 Uhr schrieb Bob <bob@brand.test>:",
        "El lun, 3 feb 2025 a las 10:00, Bob (<bob@brand.test>) escribió:",
        "Il giorno lun 3 feb 2025 alle ore 10:00 Bob <bob@brand.test> ha scritto:",
        "Op ma 3 feb 2025 om 10:00 schreef Bob <bob@brand.test>:",
        "Em seg., 3 de fev. de 2025 às 10:00, Bob <bob@brand.test> escreveu:",
        "3 февр. 2025 г., 10:00, Bob <bob@brand.test> написал(а):",
        "Bob <bob@brand.test> 于2025年2月3日周一 10:00写道：",
        "2025年2月3日(月) 10:00 Bob <bob@brand.test>:",
        "2025年2月3日(月) 10:00 Bob at the Brand\n<bob@brand.test>:",
        "пн, 3 февр. 2025 г. в 10:00, Bob <bob@brand.test>:",
        "пн, 3 мая 2025 г. в 10:00, Bob at the Brand\n<bob@brand.test>:",
        "في الاثنين، 3 فبراير 2025 في 10:00 ص تمت كتابة ما يلي بواسطة Bob <\u202abob@brand.test\u202c\u200f>:",
        "\u202bבתאריך יום ב׳, 3 בפבר׳ 2025 ב-10:00 מאת \u202aBob\u202c\u200f <\u202abob@brand.test\u202c\u200f>:\u202c",
        "-----Original Message-----\nFrom: Bob <bob@brand.test>\nSent: Monday, 3 February 2025\nSubject: You",
        "________________________________\nVon: Bob <bob@brand.test>\nGesendet: Montag\nAn: Ann\nBetreff: Du",
        "---------- Forwarded message ---------",
        "Begin forwarded message:",
    ],
)
@pytest.mark.parametrize("quoted", ["> Will you?", "Will you?"])
def test_history_begins_where_a_mail_program_says_so(opening: str, quoted: str) -> None:
    reply = split_reply(f"We met 2 of 10 people.\n\n{opening}\n\n{quoted}")
    assert reply.text == "We met 2 of 10 people."
    assert reply.quoted == f"{opening}\n\n{quoted}"


def test_answers_between_quotations_keep_what_they_answer() -> None:
    reply = split_reply("Hi.\n\nOn 3 Feb 2025, Bob <b@b.test> wrote:\n> One?\n\nYes.\n\n> Two?\n\nNo.\n\n> Bob")
    assert reply.text == "Hi.\n\n> One?\n\nYes.\n\n> Two?\n\nNo."
    assert reply.quoted == "On 3 Feb 2025, Bob <b@b.test> wrote:\n\n> Bob"


def test_an_answer_below_a_quotation_is_read() -> None:
    reply = split_reply("Hi.\n\nOn 3 Feb 2025, Bob <b@b.test> wrote:\n> One?\n\nYes, and more.")
    assert (reply.text, reply.quoted) == (
        "Hi.\n\n\nYes, and more.",
        "On 3 Feb 2025, Bob <b@b.test> wrote:\n> One?",
    )


@pytest.mark.parametrize(
    "text",
    [
        "In 2016 she said what he wrote:\nnothing",
        "From: 10 am\nTo: 12 am\n\nCan you come?",
        "👍",
        "---\nA heading\n---\nand more",
        "He wrote: yes\n\nShe wrote: no",
        "a > b\nand b < c",
        "2025年2月3日(月) 10:00 に会いましょう:\nBob",
        "2025年2月3日(月) 10:00 Bob <bob@brand.test> さんへ",
        "пн, 3 февр. 2025 г. в 10:00, встреча:\nтам же",
        "בתאריך 3 בפברואר 2025 קיבלתי מכתב מאת דנה:\nכן",
        "Write to Bob <bob@brand.test>:\nhe knows",
        "",
    ],
)
def test_what_only_looks_like_history_is_text(text: str) -> None:
    assert split_reply(text) == Reply(text, None, None)


def test_a_signature_is_not_all_that_follows_two_dashes() -> None:
    text = "First.\n--\n" + "\n".join(f"Point {one}" for one in range(40))
    assert split_reply(text) == Reply(text, None, None)


@pytest.mark.parametrize(
    "line",
    [
        "Sent from my iPhone", "Get Outlook for iOS", "Von meinem iPhone gesendet", "Gesendet mit der Mail App",
        "Outlook für Android herunterladen", "Envoyé de mon iPhone", "Télécharger Outlook pour iOS",
        "Enviado desde mi iPhone", "Obtener Outlook para iOS", "Enviado do meu iPhone", "Obter o Outlook para iOS",
        "Inviato da iPhone", "Scarica Outlook per iOS", "Verstuurd vanaf mijn iPhone", "Skickat från min iPhone",
        "Sendt fra min iPhone", "Lähetetty iPhonesta", "Wysłane z iPhone'a", "Отправлено с iPhone",
        "Скачать Outlook для iOS", "Надіслано з iPhone", "Odesláno z iPhonu", "Trimis de pe iPhone-ul meu",
        "iPhone'umdan gönderildi", "Az iPhone-omról küldve", "iPhoneから送信", "Androidスマートフォンから送信",
        "从我的iPhone发送", "发自我的iPhone", "나의 iPhone에서 보냄", "נשלח מה-iPhone שלי",
        "أُرسلت من الـ iPhone", "تم الإرسال من iPhone", "Dikirim dari iPhone saya", "Đã gửi từ iPhone của tôi",
    ],
)  # fmt: skip
@pytest.mark.parametrize("below", ["", "\n\n> On 3 Feb 2025, Bob wrote:\n>\n> Will you?"])
def test_what_a_telephone_adds_is_a_signature(line: str, below: str) -> None:
    assert split_reply(f"Yes.\n\n{line}{below}") == Reply("Yes.", below.strip() or None, line)


@pytest.mark.parametrize(
    "line",
    [
        "My iPhone is broken", "내 iPhone이 고장났어요", "事務所から送信しました", "Outlook für Android ist besser",
        "נשלח מחר", "Von meinem Hof", "Skaffa ny kamera", "iPhone geldi",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_text(line: str) -> None:
    assert split_reply(f"Yes.\n\n{line}") == Reply(f"Yes.\n\n{line}", None, None)


PIECES = [
    "text", "", "> quote", ">> deeper", "--", "_____", "On 3 Feb 2025, Bob <b@b.test> wrote:", "From: a@b.test",
    "Subject: x", "Sent: 1", "----- Original Message -----", "Sent from my phone", "***", "On 1 2", "wrote:",
    "<a@b.test>",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("\n".join))
def test_every_line_goes_somewhere(text: str) -> None:
    reply = split_reply(text)
    assert lines_of(reply.text, reply.quoted, reply.signature) == lines_of(text)


@pytest.mark.parametrize("line", [*PIECES, "On ", "x" * 100, "On 1 2 wrote <a@", "From: a\nx", "> a\nb"])
def test_time_grows_with_the_length_only(line: str) -> None:
    start = time.process_time()
    split_reply("\n".join([line] * 20_000))
    split_reply(line * 20_000)
    assert time.process_time() - start < 5.0  # linear time takes a fifth of it, quadratic time minutes


def test_the_corpus_is_trimmed_as_expected() -> None:
    folder = corpus("replies")
    wrong = []
    emails = sorted((folder / "emails").iterdir())
    for path in emails:
        text = many_lines(path.read_bytes().decode())
        reply = split_reply(text)
        assert lines_of(reply.text, reply.quoted, reply.signature) == lines_of(text), path.name
        expected = (folder / "trimmed" / path.name).read_bytes().decode()
        if comparable(reply.text) != comparable(expected):
            wrong.append(path.name)
    assert len(emails) - len(wrong) >= ENOUGH, wrong
