"""Words and claims, counted anew: whoever has a name or an address is found by it, holds it, and nobody else does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from storage.addresses import canonical
from storage.changes import Turn
from storage.claims import claim_id
from storage.database import Database
from storage.documents import Document
from storage.indexes import WORDS
from storage.influencers import unique_values, words_of_influencer
from storage.messages import mail_id_claim
from storage.words import name_key

T = TypeVar("T")
BATCH = 200

Source = Database | Turn  # as it is stored, or as it stands at the head of the log


@dataclass(frozen=True)
class Difference:
    """A value that is stored and not what it should be. Some can be put right by nobody but a person."""

    collection: str
    id: str
    field: str
    stored: object
    recounted: object
    by_hand: bool = False

    def __str__(self) -> str:
        text = f"{self.collection} {self.id}: {self.field} is {self.stored!r}, recounted {self.recounted!r}"
        return f"{text}; this has to be put right by hand" if self.by_hand else text


Recount = Callable[[Source], Awaitable[list[Difference]]]


def differences(collection: str, id: str, stored: Document, recounted: Document) -> list[Difference]:
    return [
        Difference(collection, id, field, stored.get(field), value)
        for field, value in recounted.items()
        if field not in stored or stored[field] != value
    ]


async def recount_words(source: Source, influencer: Document) -> list[Difference]:
    words = {f"{influencer['_id']}:{word}": word for word in words_of_influencer(influencer)}
    stored = await source.get_many("words", words)
    return [
        each
        for id, word in words.items()
        for each in differences("words", id, stored.get(id, {}), {"word": word, "influencer": influencer["_id"]})
    ]


def claims_of(workspace: str, collection: str, document: Document) -> dict[str, tuple[str, str]]:
    """Ids of the claims that an object must hold, each with its kind and value."""
    if collection == "influencers":
        pairs = [(kind, value) for kind, value, _ in unique_values(document)]
    elif collection == "participations":
        pairs = [("participation", f"{document['campaign_id']}:{document['influencer_id']}")]
    elif collection == "members":
        pairs = [] if document["removed_at"] is not None else [("member", canonical(document["email"]))]
    elif collection == "mailboxes":
        pairs = [("mailbox", canonical(document["address"]))]
    else:
        pairs = [] if document.get("deleted") else [(collection.removesuffix("s"), name_key(document["name"]))]
    return {claim_id(workspace, kind, value): (kind, value) for kind, value in pairs}


async def recount_claims(
    source: Source, workspace: str, id: str, collection: str, document: Document
) -> list[Difference]:
    """The claims that an object must hold and does not. One that somebody else holds by right is left to them."""
    found = []
    wanted = claims_of(workspace, collection, document)
    for claim, stored in (await claims_there(source, wanted)).items():
        holder = stored.get("owner")
        if holder == id:
            continue
        if holder is not None and await holds_by_right(source, workspace, claim, holder):
            kind, value = wanted[claim]
            found.append(Difference(collection, id, kind, value, f"held by {holder}", by_hand=True))
        else:
            found.append(Difference("claims", claim, "owner", holder, id))
    return found


async def recount_mail_ids(source: Source, workspace: str, mails: list[Document]) -> list[Difference]:
    """Message-IDs that lead to no message, or to one of these with another campaign. The first of several has it."""
    wanted: dict[str, Document] = {}
    for mail in mails:
        wanted.setdefault(mail_id_claim(workspace, mail["mail_id"]), mail)
    found = []
    for start in range(0, len(wanted), BATCH):
        for claim, stored in (await claims_there(source, list(wanted)[start : start + BATCH])).items():
            mail = wanted[claim]
            if stored.get("owner") in (None, mail["_id"]):
                found += differences("claims", claim, stored, {"owner": mail["_id"], "campaign": mail["campaign_id"]})
    return found


async def claims_there(source: Source, ids: Iterable[str]) -> dict[str, Document]:
    """What is stored of these claims, empty where there is none."""
    stored = await source.get_many("claims", ids)
    return {id: stored.get(id, {}) for id in ids}


COLLECTIONS = {
    "email": "influencers", "handle": "influencers", "external": "influencers", "participation": "participations",
    "member": "members", "tag": "tags", "variable": "variables", "campaign": "campaigns", "partner": "partners",
    "mailbox": "mailboxes",
}  # fmt: skip


def collection_of_claim(claim: str) -> str | None:
    """Where the owner of a claim is to be found; None for keys of requests and identities of mails."""
    return COLLECTIONS.get(claim.split(":")[1])


async def holds_by_right(source: Source, workspace: str, claim: str, owner: str) -> bool:
    collection = collection_of_claim(claim)
    if collection is None:
        return True
    document = (await source.get_many(collection, [owner])).get(owner)
    return document is not None and claim in claims_of(workspace, collection, document)


async def recount_owner(source: Source, workspace: str, claim: str) -> list[Difference]:
    """A claim must be held by nobody who does not have what it claims."""
    owner = (await claims_there(source, [claim]))[claim].get("owner")
    if owner is None or await holds_by_right(source, workspace, claim, owner):
        return []
    return [Difference("claims", claim, "owner", owner, None)]


async def recount_word(source: Source, id: str) -> list[Difference]:
    """A word must lead to nobody who does not have it."""
    stored = (await source.get_many("words", [id])).get(id)
    if stored is None or not stored["word"]:
        return []
    owner = stored["influencer"]
    influencer = (await source.get_many("influencers", [owner])).get(owner)
    if influencer is not None and stored["word"] in words_of_influencer(influencer):
        return []
    return [Difference("words", id, "word", stored["word"], "")]


async def in_batches(items: AsyncIterator[T], size: int = BATCH) -> AsyncIterator[list[T]]:
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def doubtful_claims(database: Database, workspace: str) -> AsyncIterator[Recount]:
    """Claims that seem to be held by somebody who does not have what they claim."""
    async for claims in in_batches(
        database.stream("claims", {"_id": {"$gt": f"{workspace}:", "$lt": f"{workspace};"}})
    ):
        held = {each["_id"]: each["owner"] for each in claims if each["owner"] and collection_of_claim(each["_id"])}
        owners: dict[str, Document] = {}
        for collection in set(COLLECTIONS.values()):
            ids = [owner for claim, owner in held.items() if collection_of_claim(claim) == collection]
            owners.update(await database.get_many(collection, ids))
        for claim, owner in held.items():
            collection = COLLECTIONS[claim.split(":")[1]]
            if owner not in owners or claim not in claims_of(workspace, collection, owners[owner]):
                yield partial(recount_owner, workspace=workspace, claim=claim)


async def doubtful_words(database: Database, workspace: str) -> AsyncIterator[Recount]:
    """Words that seem to lead to somebody who does not have them."""
    async for words in in_batches(database.stream("words", {"workspace": workspace}, hint=WORDS)):
        influencers = await database.get_many("influencers", {each["influencer"] for each in words})
        known = {id: words_of_influencer(influencer) for id, influencer in influencers.items()}
        for each in words:
            if each["word"] and each["word"] not in known.get(each["influencer"], set()):
                yield partial(recount_word, id=each["_id"])
