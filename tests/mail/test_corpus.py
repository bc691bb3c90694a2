"""Mails that others wrote, malformed ones too: each is parsed, within the time and memory that a worker has."""

from __future__ import annotations

from sync.mail_envelope import envelope_of
from sync.mail_parsing import parse
from sync.mail_workers import MailParsers
from tests.mail.corpus import corpus


async def test_every_mail_of_the_corpus_is_parsed_in_time() -> None:
    mails = {path.name: path.read_bytes() for path in sorted(corpus("messages").iterdir())}
    assert mails
    async with MailParsers(workers=1) as parsers:
        for name, raw in mails.items():
            mail = await parsers.parse(raw)
            assert mail == parse(raw), name
            envelope = envelope_of(raw)
            assert envelope.sender == mail.sender, name
            assert envelope.recipients == [*mail.to, *mail.cc], name
            assert mail.text or mail.html or mail.quoted or mail.files or len(raw) < 1000, name
