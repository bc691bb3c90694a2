"""Mailboxes: who connects, shares, chooses and disconnects which, and that no password is ever told."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from typing import Any

import pytest

from connect_inbox.settings import Settings
from schema.types.context import Caller, Role
from schema.types.errors import Refused
from schema.types.mailbox import MailboxAccess, MailboxState, QuarantineState
from schema.types.node import new_id
from storage import mail_states, quarantine
from storage.credentials import Credentials, load, save
from storage.indexes import ENTRIES
from storage.mailboxes import connect_mailbox, find_mailbox, set_state
from storage.workspaces import operator_of
from sync.mail_access import MailAccess
from tests.api.conftest import Brand, create_brand
from tests.client import Api, ApiFailed, Json
from tests.mailboxes import connected, new_mailbox
from tests.server import running
from tests.smtp_receiver import smtp_receiver

MAILBOX = """mailbox { id address name access state reason isFallback isShared provider owner { name }
    senders { name } maySend isDefault } position userErrors { code field message }"""
ALL = "{ mailboxes { id address isFallback isDefault maySend isShared state owner { name } senders { name } } }"
SECRET = "correct horse battery staple"
GIVEN: Json = {
    "address": "new@brand.example", "name": "The brand", "password": SECRET,
    "smtp": {"host": "127.0.0.1", "port": 465}, "imap": {"host": "127.0.0.1", "port": 993},
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("quiet")


async def id_of(api: Api) -> str:
    id: str = (await api.run("{ viewer { id } }"))["viewer"]["id"]
    return id


async def mailbox_of(brand: Brand, api: Api, address: str = "team@brand.example", **more: Any) -> str:
    return await connected(brand.store, brand.workspace, await id_of(api), address, **more)


async def done(api: Api, mutation: str, **input: Any) -> Json:
    payload = await api.mutate(mutation, MAILBOX, **input)
    assert payload["userErrors"] == [], payload
    mailbox: Json = payload["mailbox"]
    return mailbox


async def refused(api: Api, mutation: str, **input: Any) -> tuple[str, list[str]]:
    payload = await api.mutate(mutation, "position userErrors { code field }", **input)
    [error] = payload["userErrors"]
    assert payload["position"] is None
    return error["code"], error["field"]


async def seen_by(api: Api) -> dict[str, Json]:
    return {each["id"]: each for each in (await api.run(ALL))["mailboxes"]}


# Connecting


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "localhost", "nowhere.invalid"]
)
async def test_a_host_that_may_not_be_called_or_is_not_there(brand: Brand, host: str) -> None:
    before = await brand.position()
    given = {**GIVEN, "smtp": {"host": host, "port": 465}}
    assert await refused(brand.member, "connectMailbox", **given) == ("HOST_FAILED", ["smtp"])
    assert await brand.position() == before and await seen_by(brand.member) == {}


async def test_servers_that_are_tried(brand: Brand, caplog: pytest.LogCaptureFixture) -> None:
    """Both must let us in, and which one did not is said. What is connected then is opened by the same password."""
    caplog.set_level(logging.DEBUG)
    access = MailAccess(allowed_hosts=frozenset({"127.0.0.1"}))
    async with (
        smtp_receiver({GIVEN["address"]: SECRET}) as receiver,
        running(brand.store, Settings(), access) as server,
    ):
        member = server.api(brand.member.token)
        smtp = {"host": "127.0.0.1", "port": receiver.port, "encryption": "NONE"}
        given = {**GIVEN, "smtp": smtp, "imap": {"host": "10.0.0.1", "port": 993}}
        assert await refused(member, "connectMailbox", **given) == ("HOST_FAILED", ["imap"])
        sending = {**given, "access": "SEND_ONLY"}
        wrong = {**sending, "password": SECRET[:-1]}
        assert await refused(member, "connectMailbox", **wrong) == ("LOGIN_FAILED", ["smtp"])
        assert await seen_by(member) == {}
        payload = await member.mutate("connectMailbox", MAILBOX, **sending)
    mailbox = payload["mailbox"]
    assert payload["userErrors"] == [] and payload["position"] == await brand.position()
    assert (mailbox["address"], mailbox["access"], mailbox["state"]) == (GIVEN["address"], "SEND_ONLY", "CONNECTED")
    assert (mailbox["owner"], mailbox["isFallback"], mailbox["isShared"]) == ({"name": "Member"}, True, False)
    assert await load(brand.store, brand.workspace, mailbox["id"]) == Credentials(password=SECRET)
    ours = [each for each in caplog.records if not each.name.startswith("mail.")]  # which is the receiver's
    logged = " ".join(each.getMessage() for each in ours)
    for secret in (SECRET, b64encode(f"\0{GIVEN['address']}\0{SECRET}".encode()).decode()):
        assert secret not in json.dumps(payload) + logged + await dump(brand, mailbox["id"])


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"address": "nobody"}, "INVALID", ["address"]),
        ({"name": " "}, "BLANK", ["name"]),
        ({"name": "a\r\nBcc: x"}, "INVALID", ["name"]),
        ({"password": ""}, "BLANK", ["password"]),
        ({"password": "a\r\nb"}, "INVALID", ["password"]),
        ({"password": "a" * 1001}, "TOO_LONG", ["password"]),
        ({"imap": None}, "BLANK", ["imap"]),
        ({"smtp": {"host": " ", "port": 465}}, "BLANK", ["smtp", "host"]),
        ({"smtp": {"host": "a\r\nb", "port": 465}}, "INVALID", ["smtp", "host"]),
        ({"smtp": {"host": "a.example", "port": 0}}, "INVALID", ["smtp", "port"]),
        ({"imap": {"host": "a.example", "port": 65536}}, "INVALID", ["imap", "port"]),
        ({"imap": {"host": "a.example", "port": 993, "user": "a\nb"}}, "INVALID", ["imap", "user"]),
    ],
)
async def test_what_is_refused_of_a_mailbox(brand: Brand, given: Json, code: str, field: list[str]) -> None:
    assert await refused(brand.member, "connectMailbox", **{**GIVEN, **given}) == (code, field)


async def test_a_provider_that_is_not_configured(brand: Brand) -> None:
    assert (await brand.viewer.run("{ mailboxProviders }"))["mailboxProviders"] == []
    given = {"provider": "google", "address": "team@brand.example"}
    assert await refused(brand.member, "beginMailboxAuthorization", **given) == ("INVALID", ["provider"])


async def dump(brand: Brand, mailbox: str) -> str:
    """All that is stored of a workspace through its log, and of a mailbox beside it."""
    entries = await brand.store.database.find("entries", {"workspace": brand.workspace}, hint=ENTRIES)
    secret = await brand.store.database.get("credentials", f"{brand.workspace}:{mailbox}")
    assert entries and secret, "so there is something to look into"
    return json.dumps([entries, secret, await brand.store.database.get("mail_states", mailbox)])


async def test_a_password_is_told_nowhere(brand: Brand, caplog: pytest.LogCaptureFixture) -> None:
    """In no answer, whatever is wrong with what is said beside it; in no log; and nowhere in the database in plain."""
    caplog.set_level(logging.DEBUG)
    query = "mutation($input: ConnectMailboxInput!) { connectMailbox(input: $input) { userErrors { message } } }"
    wrong: list[Json] = [
        {}, {"smtp": None}, {"nothing": 1}, {"access": "BOTH"}, {"password": [SECRET, SECRET]},
        {"password": {"a": SECRET}}, {"smtp": {"host": "a", "port": SECRET}}, {"smtp": SECRET},
        {"isShared": SECRET}, {"address": ""},
        {"smtp": {"host": "a", "port": 0}}, {"name": "a\nb"},
    ]  # fmt: skip
    answers = [await brand.member.post(query, input={**GIVEN, **each}) for each in wrong]
    answers += [await brand.member.post(query, input={"password": SECRET}), await brand.viewer.post(query, input=GIVEN)]
    literal = 'mutation { connectMailbox(input: {name: "x", password: "%s" %s}) { position } }'
    for more in ("", ", nothing: 1", ", smtp: 1", '"', "}"):
        answers.append(await brand.member.post(literal % (SECRET, more)))
    mailbox = await mailbox_of(brand, brand.member)
    await save(brand.store, brand.workspace, mailbox, Credentials(password=SECRET))
    answers.append(await brand.member.run(ALL))
    assert all(each.get("errors") or each.get("data") or each.get("mailboxes") for each in answers)
    assert SECRET not in json.dumps(answers)
    assert SECRET not in caplog.text and SECRET not in await dump(brand, mailbox)
    assert await load(brand.store, brand.workspace, mailbox) == Credentials(password=SECRET)


async def test_one_address_is_one_mailbox_of_a_workspace(brand: Brand) -> None:
    other = await create_brand(brand.store, brand.server)
    first = await mailbox_of(brand, brand.member, "Team@brand.example")
    assert await mailbox_of(brand, brand.member, "team@BRAND.example") == first
    assert await mailbox_of(other, other.member) != first
    cleo = Caller(str(new_id("member")), "Cleo", brand.workspace, token="", role=Role.MEMBER)
    with pytest.raises(Refused, match="connected by another member"):
        await connect_mailbox(brand.store, cleo, cleo.id, new_mailbox("team@brand.example"))
    found = await find_mailbox(brand.store, brand.workspace, "TEAM@brand.example")
    assert found is not None and (found.id, found.owner_id) == (first, await id_of(brand.member))


async def test_a_mailbox_that_is_connected_anew(brand: Brand) -> None:
    """Is the same one, with all that was decided of it; another member begins with nothing of that."""
    ada, store = await id_of(brand.admin), brand.store
    mailbox = await mailbox_of(brand, brand.member, is_shared=True)
    await done(brand.member, "updateMailbox", mailboxId=mailbox, memberIds=[ada], name="Us")
    operator = operator_of(brand.workspace)
    await set_state(store, operator, mailbox, MailboxState.NEEDS_RECONNECT, "no longer good")
    await set_state(store, operator, mailbox, MailboxState.CONNECTED)
    assert (await seen_by(brand.admin))[mailbox]["state"] == "NEEDS_RECONNECT", "it is left to a person"
    assert await mailbox_of(brand, brand.member, provider="google") == mailbox
    again = (await seen_by(brand.admin))[mailbox]
    assert (again["state"], again["isShared"], again["senders"]) == ("CONNECTED", True, [{"name": "Admin"}])
    document = await store.database.get("mailboxes", mailbox)
    assert document is not None and document["name"] == "Us", "a provider says no name"
    await done(brand.member, "disconnectMailbox", mailboxId=mailbox)
    assert await mailbox_of(brand, brand.admin, access=MailboxAccess.SEND_ONLY, imap=None) == mailbox
    taken = (await seen_by(brand.admin))[mailbox]
    assert (taken["owner"], taken["isShared"], taken["senders"]) == ({"name": "Admin"}, False, [])
    assert taken["isFallback"], "as there is no other"


# Who may do what with one


async def test_a_mailbox_is_managed_by_its_owner_and_by_every_admin(brand: Brand) -> None:
    ben, ada = await id_of(brand.member), await id_of(brand.admin)
    theirs, own = await mailbox_of(brand, brand.admin, "ada@brand.example"), await mailbox_of(brand, brand.member)
    for mutation, more in (("updateMailbox", {"name": "Mine"}), ("disconnectMailbox", {})):
        assert await refused(brand.member, mutation, mailboxId=theirs, **more) == ("NOT_ALLOWED", ["mailboxId"])
        for api in (brand.viewer, brand.partner):
            with pytest.raises(ApiFailed) as failed:
                await api.mutate(mutation, "position", mailboxId=own, **more)
            assert failed.value.codes == ["FORBIDDEN"]
        with pytest.raises(ApiFailed) as failed:
            await brand.stranger.mutate(mutation, "position", mailboxId=own, **more)
        assert failed.value.codes == ["NOT_FOUND"]
    assert (await done(brand.member, "updateMailbox", mailboxId=own, name=" Ours "))["name"] == "Ours"
    changed = await done(brand.admin, "updateMailbox", mailboxId=own, isShared=True, memberIds=[ada, ada])
    assert (changed["isShared"], changed["senders"], changed["name"]) == (True, [{"name": "Admin"}], "Ours")
    unchanged = await brand.admin.mutate("updateMailbox", MAILBOX, mailboxId=own)
    assert unchanged["mailbox"] == changed
    assert await refused(brand.member, "updateMailbox", mailboxId=own, name="") == ("BLANK", ["name"])
    stranger = await id_of(brand.stranger)
    for nobody in (stranger, str(new_id("member")), await id_of(brand.partner)):
        with pytest.raises(ApiFailed) as failed:
            await brand.member.mutate("updateMailbox", "position", mailboxId=own, memberIds=[ben, nobody])
        assert failed.value.codes == ["NOT_FOUND"]


async def test_disconnecting(brand: Brand) -> None:
    mailbox = await mailbox_of(brand, brand.member)
    await save(brand.store, brand.workspace, mailbox, Credentials(password=SECRET))
    await mail_states.begin(brand.store, brand.workspace, mailbox, True, {})
    disconnected = await done(brand.admin, "disconnectMailbox", mailboxId=mailbox)
    assert (disconnected["state"], disconnected["isFallback"]) == ("DISCONNECTED", False)
    assert await load(brand.store, brand.workspace, mailbox) is None, "its password is forgotten"
    state = await brand.store.database.get("mail_states", mailbox)
    assert state is not None and state["active"] == 0, "nothing is read from it any more"
    before = await brand.position()
    assert (await done(brand.admin, "disconnectMailbox", mailboxId=mailbox))["state"] == "DISCONNECTED"
    assert await brand.position() == before and await seen_by(brand.viewer) == {}
    node = "query($id: ID!) { node(id: $id) { ... on Mailbox { state address } } }"
    found = (await brand.viewer.run(node, id=mailbox))["node"]
    assert found == {"state": "DISCONNECTED", "address": "team@brand.example"}, "for what came and went by it"
    for mutation in ("setDefaultMailbox", "checkMailbox"):
        assert await refused(brand.member, mutation, mailboxId=mailbox) == ("NEEDS_RECONNECT", ["mailboxId"])


async def test_each_member_has_a_default_and_the_workspace_a_fallback(brand: Brand) -> None:
    first, second = [await mailbox_of(brand, brand.admin, f"{name}@brand.example", is_shared=True) for name in "ab"]
    closed = await mailbox_of(brand, brand.admin, "c@brand.example")
    assert [each for each, it in (await seen_by(brand.member)).items() if it["isFallback"]] == [first]
    assert await refused(brand.member, "setDefaultMailbox", mailboxId=closed) == ("NOT_ALLOWED", ["mailboxId"])
    selection = "mailbox { id isDefault } member { name } userErrors { code }"
    payload = await brand.member.mutate("setDefaultMailbox", selection, mailboxId=second)
    assert payload == {
        "mailbox": {"id": second, "isDefault": True}, "member": {"name": "Member"}, "userErrors": [],
    }  # fmt: skip
    defaults = {api: [id for id, each in (await seen_by(api)).items() if each["isDefault"]] for api in apis(brand)}
    assert defaults == {brand.member: [second], brand.admin: [], brand.viewer: [], brand.partner: []}
    payload = await brand.member.mutate("setDefaultMailbox", selection, mailboxId=None)
    assert payload["mailbox"] is None and not any(each["isDefault"] for each in (await seen_by(brand.member)).values())

    with pytest.raises(ApiFailed) as failed:
        await brand.member.mutate("setDefaultMailbox", "position", mailboxId=second, forWorkspace=True)
    assert failed.value.codes == ["FORBIDDEN"]
    assert await refused(brand.admin, "setDefaultMailbox", forWorkspace=True) == ("BLANK", ["mailboxId"])
    moved = await brand.admin.mutate("setDefaultMailbox", selection, mailboxId=second, forWorkspace=True)
    assert moved["member"] is None
    assert [id for id, each in (await seen_by(brand.member)).items() if each["isFallback"]] == [second]


def apis(brand: Brand) -> list[Api]:
    return [brand.member, brand.admin, brand.viewer, brand.partner]


async def test_the_fallback_goes_to_another_where_it_is_disconnected(brand: Brand) -> None:
    """To one that is shared rather than to an older one that is not; and back to the only one there is."""
    first, own = [await mailbox_of(brand, brand.member, f"{name}@brand.example") for name in "ab"]
    shared = await mailbox_of(brand, brand.member, "c@brand.example", is_shared=True)

    async def fallbacks() -> list[str]:
        return [id for id, each in (await seen_by(brand.viewer)).items() if each["isFallback"]]

    for mailbox, expected in ((first, [shared]), (own, [shared]), (shared, [])):
        await done(brand.member, "disconnectMailbox", mailboxId=mailbox)
        assert await fallbacks() == expected
    assert await mailbox_of(brand, brand.member, "b@brand.example") == own and await fallbacks() == [own]
    await mailbox_of(brand, brand.member, "c@brand.example")
    assert await fallbacks() == [own]


async def test_a_check_is_asked_for_of_what_is_read(brand: Brand) -> None:
    read = await mailbox_of(brand, brand.member)
    await mail_states.begin(brand.store, brand.workspace, read, True, {})
    await mail_states.begin_check(brand.store, read)
    await mail_states.end_check(brand.store, read, 10**15)
    await done(brand.admin, "checkMailbox", mailboxId=read)
    assert await mail_states.check_due(brand.store, read) == 0
    sending = await mailbox_of(brand, brand.member, "s@brand.example", access=MailboxAccess.SEND_ONLY, imap=None)
    assert await refused(brand.member, "checkMailbox", mailboxId=sending) == ("INVALID", ["mailboxId"])
    await set_state(brand.store, operator_of(brand.workspace), read, MailboxState.PAUSED, "flapping")
    assert await refused(brand.member, "checkMailbox", mailboxId=read) == ("NEEDS_RECONNECT", ["mailboxId"])


# What cannot be taken apart

RETRY, DISCARD = "retryQuarantinedMail", "discardQuarantinedMail"
HELD = "quarantinedMail { id state reason sender size mailbox { id } messages { id } } userErrors { code field }"


async def test_what_is_quarantined_is_tried_again_or_not_needed(brand: Brand) -> None:
    mailbox, store, operator = await mailbox_of(brand, brand.member), brand.store, operator_of(brand.workspace)
    ids = [
        (await quarantine.hold(store, operator, mailbox, False, "a@x.example", 9, f"raw {n}", "it has no end")).result
        for n in range(3)
    ]
    query = """query($after: String) { quarantinedMails(first: 2, after: $after) {
        nodes { id } pageInfo { hasNextPage endCursor } } }"""
    page = (await brand.viewer.run(query))["quarantinedMails"]
    rest = (await brand.viewer.run(query, after=page["pageInfo"]["endCursor"]))["quarantinedMails"]
    assert [each["id"] for each in page["nodes"] + rest["nodes"]] == ids[::-1], "newest first"
    assert page["pageInfo"]["hasNextPage"] and not rest["pageInfo"]["hasNextPage"]

    retried = await brand.member.mutate("retryQuarantinedMail", HELD, quarantinedMailId=ids[0])
    assert retried["quarantinedMail"] == {
        "id": ids[0], "state": "HELD", "reason": "it has no end", "sender": "a@x.example", "size": 9,
        "mailbox": {"id": mailbox}, "messages": [],
    }  # fmt: skip
    assert ids[0] in [each["_id"] for each in await quarantine.to_retry(store, 100)]
    thread = (await brand.influencer("Ada"))["thread"]
    message = (await brand.receive(thread))["id"]
    await quarantine.set_state(store, operator, ids[0], QuarantineState.RECOVERED, message_ids=[message])
    node = "query($id: ID!) { node(id: $id) { ... on QuarantinedMail { state messages { id } } } }"
    assert (await brand.viewer.run(node, id=ids[0]))["node"] == {"state": "RECOVERED", "messages": [{"id": message}]}
    discarded = await brand.member.mutate("discardQuarantinedMail", HELD, quarantinedMailId=ids[1])
    assert discarded["quarantinedMail"]["state"] == "DISCARDED"
    for mutation, id in ((DISCARD, ids[0]), (RETRY, ids[0]), (RETRY, ids[1])):
        assert await refused(brand.member, mutation, quarantinedMailId=id) == ("INVALID", ["quarantinedMailId"])
