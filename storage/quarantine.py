"""Mail that could not be taken in: kept as it came, told of, and tried again when somebody asks for it."""

from __future__ import annotations

from schema.types.context import Caller
from schema.types.errors import Refused, UserErrorCode, not_found
from schema.types.mailbox import QuarantinedMail, QuarantineState
from schema.types.node import new_id
from schema.types.paging import Connection
from storage import claims
from storage.changes import Turn
from storage.cursors import Section
from storage.documents import Document, to_document, to_value
from storage.indexes import OF_WORKSPACE, RETRIES
from storage.log import Outcome
from storage.pages import newest_page
from storage.reader import StoreReader
from storage.store import Store

KIND = "quarantined mail"  # of claims


async def page(reader: StoreReader, first: int | None, after: str | None) -> Connection[QuarantinedMail]:
    """A page of the mails that could not be taken in, newest first."""
    filter = {"workspace": reader.caller.workspace}
    page, section = Connection[QuarantinedMail], Section.QUARANTINED_MAILS
    return await newest_page(reader, page, QuarantinedMail, section, filter, OF_WORKSPACE, first, after)


async def hold(
    store: Store, caller: Caller, mailbox: str, is_sent: bool, sender: str | None, size: int, raw_id: str, reason: str,
    refused: str | None = None,
) -> Outcome[str]:  # fmt: skip
    """Keeps a mail that cannot be taken apart, once for the same bytes in the same mailbox.

    Of one that its server does not give, `refused` is where it is, and the header is kept.
    """

    async def plan(turn: Turn) -> str:
        identity = refused or f"{mailbox}:{raw_id}"
        owner = await claims.owner_of(turn, KIND, identity)
        if owner is not None:
            return owner
        id = new_id("mail")
        change = turn.begin("MAIL_QUARANTINED", id)
        mail = QuarantinedMail(
            id=id, state=QuarantineState.HELD, reason=reason, sender=sender, size=size, received_at=turn.at,
            mailbox_id=mailbox, raw_id=raw_id, is_sent=is_sent, message_ids=[], added=change.position,
            refused_at=refused,
        )  # fmt: skip
        turn.put(change, "quarantined_mails", id, to_document(mail))
        claims.take(turn, change, KIND, identity, id)
        return str(id)

    return await store.log.change(caller, plan)


async def access_quarantined(turn: Turn, id: str) -> Document:
    mail = await turn.get("quarantined_mails", id)
    if mail is None:
        raise not_found(id)
    return mail


async def set_state(
    store: Store, caller: Caller, id: str, state: QuarantineState, reason: str | None = None,
    message_ids: list[str] | None = None,
) -> Outcome[None]:  # fmt: skip
    """What became of a mail that could not be taken in. Its raw bytes stay.

    One that is not held any more is not held again, though what was tried meanwhile has failed.
    """

    async def plan(turn: Turn) -> None:
        mail = await access_quarantined(turn, id)
        if state is QuarantineState.HELD and mail["state"] != state.value:
            return
        if state is QuarantineState.DISCARDED and mail["state"] == QuarantineState.RECOVERED.value:
            raise Refused(UserErrorCode.INVALID, "it has been taken in since", "quarantinedMailId")
        fields: Document = {"state": to_value(state)}
        if reason is not None:
            fields["reason"] = reason
        if message_ids is not None:
            fields["message_ids"] = message_ids
        if any(mail[name] != value for name, value in fields.items()):
            turn.put(turn.begin("QUARANTINE_CHANGED", id), "quarantined_mails", id, fields)

    return await store.log.change(caller, plan)


async def settle_refused(store: Store, caller: Caller, refused: str, message_ids: list[str]) -> Outcome[None]:
    """A mail that its server did not give was given after all, and taken in."""

    async def plan(turn: Turn) -> None:
        id = await claims.owner_of(turn, KIND, refused)
        mail = await access_quarantined(turn, id) if id else None
        if mail is not None and mail["state"] != QuarantineState.RECOVERED.value:
            fields = {"state": QuarantineState.RECOVERED.value, "message_ids": message_ids}
            turn.put(turn.begin("QUARANTINE_CHANGED", mail["_id"]), "quarantined_mails", mail["_id"], fields)

    return await store.log.change(caller, plan)


async def refused_of(store: Store, workspace: str, mailbox: str) -> list[Document]:
    """What a mailbox's server did not give, and nobody has put aside."""
    filter = {"workspace": workspace, "state": QuarantineState.HELD.value, "mailbox_id": mailbox}
    found = await store.database.find("quarantined_mails", filter, hint=OF_WORKSPACE)
    return [each for each in found if each.get("refused_at")]


async def ask_for_retry(store: Store, caller: Caller, id: str) -> None:
    """Has whoever reads the mailboxes try a mail of the caller's workspace again. Refused where it is held no more."""
    where = {"workspace": caller.workspace, "state": QuarantineState.HELD.value}
    if not await store.database.set("quarantined_mails", id, {"retry": 1}, where=where):
        raise Refused(UserErrorCode.INVALID, "it is not held any more", "quarantinedMailId")


async def to_retry(store: Store, limit: int) -> list[Document]:
    return await store.database.find("quarantined_mails", {"retry": 1}, limit=limit, hint=RETRIES)


async def is_to_retry(store: Store, id: str) -> bool:
    document = await store.database.get("quarantined_mails", id)
    return document is not None and document.get("retry") == 1


async def note_retried(store: Store, id: str) -> None:
    await store.database.set("quarantined_mails", id, {"retry": 0})
