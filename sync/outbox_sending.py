"""Sends what waits in the outbox: each mail once to each who gets it, or nobody knows and somebody decides.

An item is worked on under a lease. That a server is about to be given the mail is committed before it is; whoever
finds that of another who is gone by now does not give it again, but says that nobody knows.
"""

from __future__ import annotations

import logging
import secrets

from schema.types.mailbox import MailboxState
from schema.types.message import DeliveryState
from storage import mailboxes, outbox
from storage.database import is_of_database
from storage.deliveries import GOT, State, States
from storage.documents import Document
from storage.outbox import DONE, TO_FILE, WAITING
from sync.composing_headers import Uncomposable
from sync.lease import LeaseLost, after, kept, time_now
from sync.mail_access import secret_of
from sync.mail_server import Failure, MailServerFailed
from sync.mail_taking import OUR_FAULT
from sync.mail_times import pause_after
from sync.oauth import ReconnectNeeded
from sync.outbox_filing import file
from sync.outbox_item import Post, Sending, compose_mail, files_itself, is_out_of_time, opened, opened_anew, put_off
from sync.smtp import OutcomeUnknown, RecipientOutcome

logger = logging.getLogger("connect_inbox.sync")

LOST = "whoever sent it was ended before the server had answered"


class NotOurs(Exception):
    """Somebody else has the item by now, or has given the mail to a server."""


async def work_on(post: Post, item: Document) -> None:
    """Does what is due of an item, unless somebody else does."""
    id, owner, store, times = item["_id"], secrets.token_hex(8), post.store, post.times
    if not await outbox.claim(store, id, owner, time_now(), after(times.lease)):
        return
    try:
        async with kept(lambda until: outbox.keep(store, id, owner, until), times.lease):
            await store.log.refresh(item["workspace"])  # with all that whoever had it before has committed
            sending = await opened(post, id, owner)
            if sending.item["lease"] != owner:
                raise NotOurs  # it was done, and only not applied yet
            await (send(sending) if sending.item["stage"] == WAITING else file(sending))
    except (LeaseLost, NotOurs):
        return


async def send(sending: Sending) -> None:
    if sending.item["sending"]:
        await unknown(sending, LOST)
        return
    if not sending.waiting:
        due = after(sending.times.filing)
        await outbox.finish(sending.store, sending.caller, sending.id, sending.owner, stage_after(sending), due)
        return
    if sending.mailbox.state in mailboxes.NOT_SENDING:
        await retry(sending, f"{sending.mailbox.address} must be connected anew", sending.times.longest_pause)
        return
    try:
        await hand_over(sending, await compose_mail(sending))
    except Uncomposable as error:
        await fail(sending, str(error))
    except OutcomeUnknown as error:
        nobody_knows: States = dict.fromkeys(sending.waiting, (DeliveryState.UNKNOWN, error.words))
        await note(sending, error.refused, nobody_knows)
    except ReconnectNeeded as error:
        sending.counters.failures[Failure.LOGIN.name] += 1
        await needs_reconnect(sending, error.reason)
    except MailServerFailed as failed:
        sending.counters.failures[failed.failure.name] += 1
        is_refused = failed.failure in (Failure.LOGIN, Failure.PERMISSION)
        await (needs_reconnect if is_refused else retry)(sending, failed.reason)
    except (LeaseLost, NotOurs):
        raise
    except Exception as error:
        if is_of_database(error):
            raise
        logger.error("%s could not be sent", sending.id, exc_info=error)
        await note_our_fault(sending)


async def note_our_fault(sending: Sending) -> None:
    now = await opened_anew(sending)
    await (unknown if now.item["sending"] else retry)(now, OUR_FAULT)


async def hand_over(sending: Sending, raw: bytes) -> None:
    """Gives the mail to the mailbox's server, for those who have not got it. Raises what it meets."""
    secret = await secret_of(sending.store, sending.access, sending.caller.workspace, sending.mailbox)
    try:
        await give(sending, secret, raw)
    except MailServerFailed as failed:
        if failed.failure is not Failure.LOGIN:
            raise
        now = await secret_of(sending.store, sending.access, sending.caller.workspace, sending.mailbox, secret)
        if now == secret:
            raise
        await give(sending, now, raw)


async def give(sending: Sending, secret: str, raw: bytes) -> None:
    mailbox, addresses = sending.mailbox, sending.waiting

    async def before_data(answered: list[RecipientOutcome]) -> None:
        begun: States = {each.address: state_before_data(sending, each) for each in answered}
        if not await outbox.begin_sending(sending.store, sending.caller, sending.id, sending.owner, begun):
            raise NotOurs

    server = sending.access.server(mailbox.smtp, secret, mailbox.provider is not None)
    async with sending.connections.connection(server) as connection:
        outcomes = await connection.send(mailbox.address, addresses, raw, before_data)
    await note(sending, outcomes)


async def note(sending: Sending, outcomes: list[RecipientOutcome], others: States | None = None) -> None:
    """What the server said of each. Who may get it later is tried again, if there is time left."""
    states: States = {**(others or {}), **{each.address: state_of(sending, each) for each in outcomes}}
    if any(state is DeliveryState.QUEUED for state, _ in states.values()):
        await settle(sending, states, WAITING)
        return
    await settle(sending, states, stage_after(sending, any(each.accepted for each in outcomes)))


def state_of(sending: Sending, outcome: RecipientOutcome) -> State:
    if outcome.accepted:
        return DeliveryState.SENT, outcome.words
    is_tried_again = outcome.temporary and not is_out_of_time(sending)
    return DeliveryState.QUEUED if is_tried_again else DeliveryState.FAILED, outcome.words


def state_before_data(sending: Sending, answered: RecipientOutcome) -> State:
    """Who was refused is never given the mail in this try, whatever becomes of it."""
    return (DeliveryState.SENDING, None) if answered.accepted else state_of(sending, answered)


def stage_after(sending: Sending, is_accepted: bool = False) -> int:
    """What is left to be done once everybody was answered for: a mail that somebody got is filed."""
    got = any(each.delivery and each.delivery.state in GOT for each in sending.message.recipients)
    return TO_FILE if (is_accepted or got) and not files_itself(sending) else DONE


async def retry(sending: Sending, reason: str, seconds: float | None = None) -> None:
    """Later again, or given up: nothing was given to a server."""
    if is_out_of_time(sending):
        await fail(sending, reason)
        return
    waiting = [each for each in sending.message.recipients if each.address in sending.waiting]
    if all(each.delivery and each.delivery.detail == reason for each in waiting):
        await put_off(sending, seconds)  # which is nothing new to anybody
        return
    await settle(sending, dict.fromkeys(sending.waiting, (DeliveryState.QUEUED, reason)), WAITING, seconds)


async def fail(sending: Sending, reason: str) -> None:
    await settle(sending, dict.fromkeys(sending.waiting, (DeliveryState.FAILED, reason)), stage_after(sending))


async def unknown(sending: Sending, words: str) -> None:
    """Of those who were being given the mail nobody knows. Who was to get it later is tried again."""
    states: States = dict.fromkeys(sending.being_given, (DeliveryState.UNKNOWN, words))
    await settle(sending, states, WAITING if sending.waiting else stage_after(sending))


async def needs_reconnect(sending: Sending, reason: str) -> None:
    state = MailboxState.NEEDS_RECONNECT
    await mailboxes.set_state(sending.store, sending.caller, sending.mailbox.id, state, reason)
    await retry(sending, reason)


async def settle(sending: Sending, states: States, stage: int, seconds: float | None = None) -> None:
    attempts = sending.item["attempts"] + 1
    if seconds is None:
        seconds = sending.times.filing if stage == TO_FILE else pause_after(sending.times, attempts)
    sending.counters.sent.update(state.name for state, _ in states.values())
    await outbox.settle(
        sending.store, sending.caller, sending.id, states, stage, after(seconds), attempts, sending.owner
    )
