"""Puts what was sent into its mailbox's Sent folder, where the provider does not do so itself: each mail once.

It is looked for there before, so that whoever does this again after one who was killed does not do it twice.
"""

from __future__ import annotations

import asyncio
import logging

from storage import mail_states, mailboxes, outbox
from storage.database import is_of_database
from sync.imap import imap_connection
from sync.lease import LeaseLost
from sync.mail_access import secret_of
from sync.mail_server import MailServerFailed
from sync.oauth import ReconnectNeeded
from sync.outbox_item import Sending, compose_mail, files_itself, is_out_of_time, put_off

logger = logging.getLogger("connect_inbox.sync")


async def file(sending: Sending) -> None:
    """Files a mail; where that fails, later again, until it is given up. It may not be ours to file any more."""
    if not files_itself(sending) and not await is_filed(sending) and not is_out_of_time(sending):
        await put_off(sending, sending.times.longest_pause if must_wait(sending) else None)
        return
    await outbox.finish_filing(sending.store, sending.id)


def must_wait(sending: Sending) -> bool:
    """Whether somebody must connect the mailbox anew first."""
    return sending.mailbox.state in mailboxes.NOT_SENDING


async def is_filed(sending: Sending) -> bool:
    if must_wait(sending):
        return False
    try:
        await put_into_folder(sending)
    except (MailServerFailed, ReconnectNeeded) as failed:
        logger.info("%s could not be filed yet: %s", sending.id, failed)
        return False
    except LeaseLost:
        raise
    except Exception as error:
        if is_of_database(error):
            raise
        logger.error("%s could not be filed", sending.id, exc_info=error)
        return False
    return True


async def put_into_folder(sending: Sending) -> None:
    secret = await secret_of(sending.store, sending.access, sending.caller.workspace, sending.mailbox)
    assert sending.mailbox.imap is not None and sending.message.mail_id is not None, "or nothing is to be filed"
    server = sending.access.server(sending.mailbox.imap, secret, sending.mailbox.provider is not None)
    async with sending.filing.setdefault(sending.mailbox.id, asyncio.Lock()), imap_connection(server) as connection:
        names = await connection.folders(await mail_states.sent_name(sending.store, sending.mailbox.id))
        if names.sent is not None:
            await connection.select(names.sent)
            if not await connection.find_message_id(sending.message.mail_id):
                await connection.append(names.sent, await compose_mail(sending))
