"""How what IMAP servers send is taken apart."""

from __future__ import annotations

import time

import pytest

from sync.imap_framing import Framing
from sync.imap_names import Folder, decode_name, encode_name, sent_folder
from sync.imap_parsing import Malformed, values_of
from tests.mail.hostile_imap import WELL_BEHAVED

MOST = 100_000


async def test_responses_are_the_same_wherever_they_are_split() -> None:
    stream = WELL_BEHAVED["HEADER"]
    assert isinstance(stream, bytes)
    stream += b"* LIST () NIL {0}\r\n\r\n* 2 FETCH (X {2}\r\n\r\n Y {3}\r\n)\r\n)\r\n"
    whole = list(Framing().feed(stream, MOST, MOST))
    assert len(whole) == 4
    for at in range(len(stream)):
        framing = Framing()
        assert [*framing.feed(stream[:at], MOST, MOST), *framing.feed(stream[at:], MOST, MOST)] == whole


@pytest.mark.parametrize("text", [b")", b"(", b'"', b"[", b"]", b"a]", b'"a\\', b"(" * 60 + b")" * 60])
async def test_what_does_not_fit_together_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        values_of([text], 0)


async def test_nothing_is_read_in_more_than_linear_time() -> None:
    for text in (b"(" * 10**6, b'"' + b"\\" * 10**6, b"[" * 10**6, b"a[" * 10**6, b"a" * 10**6 + b"[", b" " * 10**6):
        started = time.process_time()
        try:
            values_of([text], 0)
        except Malformed:
            pass
        assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("INBOX", "INBOX"), ("R&D", "R&-D"), ("Entwürfe", "Entw&APw-rfe"), ("台北/日本語", "&U,BTFw-/&ZeVnLIqe-"),
        ("✉💌", "&JwnYPdyM-"), ("a\tb", "a&AAk-b"), ("&&", "&-&-"),
    ],
)  # fmt: skip
async def test_names_are_encoded_as_servers_have_them(name: str, encoded: str) -> None:
    assert encode_name(name) == encoded and decode_name(encoded.encode()) == name


@pytest.mark.parametrize("encoded", [b"&", b"&A", b"&AGE-", b"\xc3\xa4", b"&!!-", b"&2AA-"])
async def test_a_name_that_could_not_be_asked_for_again_is_none(encoded: bytes) -> None:
    assert decode_name(encoded) is None


async def test_the_sent_folder_is_one_that_is_real_and_belongs_to_the_mailbox() -> None:
    def folder(name: str, *attributes: str) -> Folder:
        return Folder(name, "/", frozenset(attributes))

    assert sent_folder([folder("Sent"), folder("Post", "\\sent")]) == "Post"
    assert sent_folder([folder("INBOX/SENT ITEMS"), folder("x")]) == "INBOX/SENT ITEMS"
    assert sent_folder([folder("[Gmail]/Sent Mail")]) == "[Gmail]/Sent Mail"
    assert sent_folder([folder("Sent", "\\noselect"), folder("Clients/Sent"), folder("Unsent")]) is None
    both = [folder("Sent Items"), folder("Sent")]
    assert sent_folder(both) == "Sent"
    assert sent_folder(both, "Sent Items") == "Sent Items"
    assert sent_folder(both, "Gesendet") == "Sent"
    assert sent_folder([*both, folder("Post", "\\sent")], "Sent Items") == "Post"
    assert sent_folder([folder("Post", "\\sent"), folder("Sent", "\\sent")], "Sent") == "Sent"
    assert sent_folder([folder("Sent"), folder("Sent Items", "\\noselect")], "Sent Items") == "Sent"
