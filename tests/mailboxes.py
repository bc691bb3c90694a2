"""Mailboxes for tests, connected without any server, and mail as it is found in them."""

from __future__ import annotations

import hashlib
from typing import Any

from schema.types.mailbox import MailboxAccess, _Server
from storage.mail_in import FoundMail
from storage.mailboxes import NewMailbox, connect_mailbox
from storage.store import Store
from storage.workspaces import operator_of


def new_mailbox(address: str, **more: Any) -> NewMailbox:
    given: dict[str, Any] = {
        "name": "The brand", "access": MailboxAccess.FULL,
        "smtp": _Server(host="smtp.brand.test", port=465, user=address),
        "imap": _Server(host="imap.brand.test", port=993, user=address),
    }  # fmt: skip
    return NewMailbox(address=address, **{**given, **more})


async def connected(store: Store, workspace: str, owner: str, address: str = "team@brand.example", **more: Any) -> str:
    """The id of a mailbox that a member has connected."""
    outcome = await connect_mailbox(store, operator_of(workspace), owner, new_mailbox(address, **more))
    return outcome.result


def found_mail(mailbox: str, sender: str, to: list[str], text: str = "Hello", **more: Any) -> FoundMail:
    """A mail with one Message-ID for one text."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    given: dict[str, Any] = {
        "is_sent": False, "cc": [], "mail_id": f"<{digest[:12]}@mail.example>", "content_hash": digest,
        "references": [], "subject": "Hello", "sent_at": None,
    }  # fmt: skip
    return FoundMail(mailbox_id=mailbox, sender=sender, to=to, text=text, **{**given, **more})
