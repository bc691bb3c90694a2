"""Attachments: files with a name and a type, each of which is some blob's bytes.

One is made outside of the log, and seen once a message or a draft holds a copy of its description. It is fetched at an
address that is good for everybody who has it, for at most two hours: it is signed, with the workspace bound in. So is
an e-mail as it came.
"""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import strawberry

from schema.types.errors import not_found
from schema.types.message import Attachment
from schema.types.node import kind_of, new_id
from schema.types.scalars import now
from storage import files
from storage.documents import Document, from_document, to_document, to_milliseconds
from storage.file_types import safe_name, type_of
from storage.files import Blob
from storage.store import Store

PATH = "/attachments"
HOUR = 3600  # seconds
RAW = "message/rfc822"
KEPT_IN = {"attachment": "attachments", "message": "messages", "mail": "quarantined_mails"}  # by kinds of ids
_ID = re.compile(r"(attachment|message|mail)_[0-9A-Z]{26}")  # nothing else is given to the database


async def add(
    store: Store,
    workspace: str,
    owner_id: str,
    name: str,
    blob: Blob,
    first_bytes: bytes,
    content_id: str | None = None,
    is_inline: bool = False,
    id: strawberry.ID | None = None,
) -> Attachment:
    """An attachment, of a name as somebody gave it and a type as found in its first bytes.

    It is a new one, unless it has an `id` that was used before: then it is the same one.
    """
    name = safe_name(name)
    attachment = Attachment(
        id=id or new_id("attachment"), name=name, content_type=type_of(first_bytes, name), size=blob.size,
        content_id=content_id, is_inline=is_inline, blob_id=blob.id,
    )  # fmt: skip
    made = {"workspace": workspace, "owner_id": owner_id, "added_at": to_milliseconds(now())}
    await store.database.insert("attachments", {"_id": attachment.id, **to_document(attachment), **made})
    return attachment


async def access_attachments(store: Store, workspace: str, ids: list[str]) -> list[Attachment]:
    """The workspace's attachments with these ids, in their order. Raises NOT_FOUND, BAD_USER_INPUT for no id at all."""
    for id in ids:
        kind_of(id)
    found = await store.database.get_many("attachments", ids)
    for id in ids:
        if id not in found or found[id]["workspace"] != workspace:
            raise not_found(id)
    return [from_document(Attachment, found[id]) for id in ids]


def url_of(store: Store, workspace: str, id: str, name: str) -> str:
    """The address of an attachment, or of a mail as it came.

    It stays the same for an hour, so that what was fetched can be kept.
    """
    expires = (seconds() // HOUR + 2) * HOUR
    signature = store.keys.sign(signed_text(workspace, id, name, expires))
    return f"{store.address}{PATH}/{id}/{quote(name, safe='')}?expires={expires}&signature={signature}"


async def at_url(store: Store, id: str, name: str, expires: int, signature: str) -> tuple[str, Attachment] | None:
    """The workspace and the file that an address is of; None where it is none of ours, or no longer."""
    kind = _ID.fullmatch(id)
    document = await store.database.get(KEPT_IN[kind[1]], id) if kind else None
    workspace = document["workspace"] if document else ""
    is_ours = store.keys.verifies(signed_text(workspace, id, name, expires), signature)
    if document is None or not is_ours or expires <= seconds():
        return None
    return workspace, await raw_of(store, document) if "raw_id" in document else from_document(Attachment, document)


async def raw_of(store: Store, mail: Document) -> Attachment:
    """A mail as it came, as a file. Raises NOT_FOUND for a message that came by no mail."""
    blob = await files.access_blob(store, mail["workspace"], mail["raw_id"] or "")
    id = mail["_id"]
    return Attachment(id=id, name=raw_name(id), content_type=RAW, size=blob["size"], blob_id=blob["_id"])


def raw_name(id: str) -> str:
    return f"{id}.eml"


def signed_text(workspace: str, id: str, name: str, expires: int) -> str:
    return f"attachment {workspace} {id} {expires} {name}"


def seconds() -> int:
    return int(time.time())
