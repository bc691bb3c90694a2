"""A workspace with one of every kind of object, each of whose texts holds a word that can be looked for elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from schema.types.campaign import AssetKind
from schema.types.context import SCOPES, Caller, Role
from storage import attachments
from storage.assets import NewAsset, create_asset, give_asset
from storage.files import store_bytes, whole
from storage.quarantine import hold
from storage.store import Store
from storage.workspaces import add_partner, create_workspace, operator_of
from tests.api.conftest import member_api, token_for
from tests.api.values import ANY, Samples
from tests.client import Api, Server
from tests.mailboxes import connected


@dataclass(frozen=True)
class World:
    """A workspace, its callers, and the ids of its objects by kind."""

    store: Store
    workspace: str
    word: str
    admin: Api
    member: Api
    partner: Api
    ids: dict[str, str]
    private: str  # the id of a notification of the member's, not of the ADMIN's
    position: str
    cursors: dict[str, str]  # of its lists

    def samples(self) -> Samples:
        """Values of this workspace, for the documents that are made from the schema."""
        return Samples(ids=lambda kind: self.ids["influencer" if kind == ANY else kind], position=self.position)

    async def log_head(self) -> int:
        """The position of its last change."""
        applied: int = (await self.store.log.state(self.workspace))["applied"]
        return applied

    async def tokens(self) -> list[str]:
        """What is known of its tokens, which are outside of the log."""
        return sorted(map(str, await self.store.database.find("tokens", {"workspace": self.workspace})))


async def create_world(store: Store, server: Server, word: str) -> World:
    workspace = await create_workspace(store, f"{word} brand")
    partner_id = (await add_partner(store, operator_of(workspace), f"{word} partner")).result.id
    admin = await member_api(store, server, workspace, Role.ADMIN)
    member = await member_api(store, server, workspace, Role.MEMBER)
    partner = server.api(await token_for(store, workspace, partner_id, list(SCOPES)))
    ids = {"workspace": workspace, "partner": partner_id}
    ids |= await _definitions(admin, word)
    ids |= await _conversation(admin, partner, ids, word)
    ids |= await _asset(store, workspace, ids, word)
    ids |= await _mail(store, workspace, admin, ids, word)
    seen = await admin.run(
        """query($thread: ID!) {
            viewer { position } inbox { edges { cursor } } campaigns { edges { cursor } }
            notifications { edges { cursor node { id } } } tokens { id label } quarantinedMails { edges { cursor } }
            thread(id: $thread) { messages { edges { cursor } } } }""",
        thread=ids["thread"],
    )
    lists = {name: seen[name] for name in ("inbox", "campaigns", "notifications", "quarantinedMails")}
    lists["messages"] = seen["thread"]["messages"]
    ids["notification"] = seen["notifications"]["edges"][0]["node"]["id"]
    ids["token"] = seen["tokens"][0]["id"]
    theirs = await member.run("{ notifications { nodes { id } } }")
    return World(
        store=store, workspace=workspace, word=word, admin=admin, member=member, partner=partner,
        ids=ids, private=theirs["notifications"]["nodes"][0]["id"],
        position=seen["viewer"]["position"], cursors={name: each["edges"][0]["cursor"] for name, each in lists.items()},
    )  # fmt: skip


async def _definitions(admin: Api, word: str) -> dict[str, str]:
    tag = await admin.mutate("createTag", "tag { id }", name=f"{word} tag")
    variable = await admin.mutate("createVariable", "variable { id }", name=f"{word} variable", type="TEXT")
    campaign = await admin.mutate("createCampaign", "campaign { id }", name=f"{word} campaign")
    member = await admin.mutate("createMember", "member { id }", name=f"{word} member", email=f"{word}@brand.example")
    return {
        "tag": tag["tag"]["id"],
        "variable": variable["variable"]["id"],
        "campaign": campaign["campaign"]["id"],
        "member": member["member"]["id"],
    }


async def _conversation(admin: Api, partner: Api, ids: dict[str, str], word: str) -> dict[str, str]:
    made = await admin.mutate(
        "createInfluencer", "influencer { id } thread { id }", name=f"{word} influencer", handle=f"{word}-handle",
        emails=[f"{word}@influencer.example"], externalId=f"{word}-external", tagIds=[ids["tag"]],
        variables=[{"variableId": ids["variable"], "value": f"{word} value"}],
    )  # fmt: skip
    influencer, thread = made["influencer"]["id"], made["thread"]["id"]
    note = await admin.mutate("addNote", "note { id }", influencerId=influencer, text=f"{word} note")
    received = await partner.mutate(
        "receiveMessage", "message { id }", threadId=thread, text=f"{word} message", externalId=f"{word}-1",
        campaignId=ids["campaign"],
    )  # fmt: skip
    there = await admin.run("query($id: ID!) { thread(id: $id) { participations { id } } }", id=thread)
    return {
        "influencer": influencer,
        "thread": thread,
        "note": note["note"]["id"],
        "message": received["message"]["id"],
        "participation": there["thread"]["participations"][0]["id"],
    }


async def _asset(store: Store, workspace: str, ids: dict[str, str], word: str) -> dict[str, str]:
    caller: Caller = operator_of(workspace)
    asset = await create_asset(store, caller, ids["campaign"], NewAsset(AssetKind.FILE, f"{word} file"))
    given = await give_asset(store, caller, asset.result, ids["influencer"], f"{word} for you")
    return {"asset": asset.result, "delivery": given.result}


async def _mail(store: Store, workspace: str, admin: Api, ids: dict[str, str], word: str) -> dict[str, str]:
    """The ADMIN's mailbox, which everyone may send from; their draft, with a file; and a mail that is held."""
    owner = (await admin.run("{ viewer { id } }"))["viewer"]["id"]
    mailbox = await connected(
        store, workspace, owner, f"{word}.team@brand.example", name=f"{word} mailbox", is_shared=True
    )
    blob = await store_bytes(store, workspace, whole(word.encode()), most=100)
    file = await attachments.add(store, workspace, owner, f"{word}.txt", blob, word.encode())
    draft = await admin.mutate(
        "saveDraft", "draft { id }", threadId=ids["thread"], text=f"{word} draft", attachmentIds=[file.id],
        mailboxId=mailbox,
    )  # fmt: skip
    held = await hold(
        store, operator_of(workspace), mailbox, False, f"{word}@influencer.example", 7, blob.id, "it has no end"
    )
    return {"mailbox": mailbox, "attachment": file.id, "draft": draft["draft"]["id"], "mail": held.result}
