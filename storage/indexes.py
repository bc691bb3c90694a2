"""Every index of every collection. The id of a document carries what must be unique, so no other index is unique."""

from __future__ import annotations

from pymongo import ASCENDING, DESCENDING, IndexModel

from storage.database import Database

Index = list[tuple[str, int]]

ENTRIES: Index = [("workspace", ASCENDING), ("last", ASCENDING)]

INBOX: Index = [("workspace", ASCENDING), ("listed", ASCENDING), ("rank", DESCENDING)]
INBOX_OF_FACET: Index = [
    ("workspace", ASCENDING), ("listed", ASCENDING), ("facets", ASCENDING), ("rank", DESCENDING),
]  # fmt: skip
UNREAD: Index = [("member", ASCENDING), ("shown", ASCENDING), ("rank", DESCENDING)]
UNREAD_OF_FACET: Index = [
    ("member", ASCENDING), ("shown", ASCENDING), ("facets", ASCENDING), ("rank", DESCENDING),
]  # fmt: skip
WORDS: Index = [("workspace", ASCENDING), ("word", ASCENDING)]

TIMELINE: Index = [("thread_id", ASCENDING), ("order", ASCENDING)]
TIMELINE_OF_CAMPAIGN: Index = [("thread_id", ASCENDING), ("campaign_id", ASCENDING), ("order", ASCENDING)]

NOTIFICATIONS: Index = [("member_id", ASCENDING), ("order", DESCENDING)]
UNREAD_NOTIFICATIONS: Index = [
    ("member_id", ASCENDING), ("thread_id", ASCENDING), ("read", ASCENDING), ("message_order", ASCENDING),
]  # fmt: skip

OF_WORKSPACE: Index = [("workspace", ASCENDING), ("added", DESCENDING)]
OF_CAMPAIGN: Index = [("campaign_id", ASCENDING), ("added", DESCENDING)]
OF_INFLUENCER: Index = [("influencer_id", ASCENDING), ("added", DESCENDING)]
OF_OWNER: Index = [("workspace", ASCENDING), ("owner_id", ASCENDING)]
BY_TOKEN_ID: Index = [("token_id", ASCENDING)]

CHUNKS: Index = [("files_id", ASCENDING), ("n", ASCENDING)]
UPLOADS: Index = [("started_at", ASCENDING)]
EXPIRING: Index = [("expires_at", ASCENDING)]
OUTBOX: Index = [("stage", ASCENDING), ("due", ASCENDING)]
MAIL_STATES: Index = [("active", ASCENDING), ("lease_until", ASCENDING)]
MAIL_UIDS: Index = [("place", ASCENDING), ("uid", ASCENDING)]
RETRIES: Index = [("retry", ASCENDING)]

INDEXES: dict[str, list[Index]] = {
    "entries": [ENTRIES],
    "influencers": [INBOX, INBOX_OF_FACET],
    "words": [WORDS],
    "marks": [UNREAD, UNREAD_OF_FACET],
    "messages": [TIMELINE, TIMELINE_OF_CAMPAIGN],
    "notifications": [NOTIFICATIONS, UNREAD_NOTIFICATIONS],
    "members": [OF_WORKSPACE],
    "partners": [OF_WORKSPACE],
    "tags": [OF_WORKSPACE],
    "variables": [OF_WORKSPACE],
    "campaigns": [OF_WORKSPACE],
    "assets": [OF_CAMPAIGN],
    "participations": [OF_INFLUENCER],
    "notes": [OF_INFLUENCER],
    "tokens": [OF_OWNER, BY_TOKEN_ID],
    "fs.chunks": [CHUNKS],
    "uploads": [UPLOADS],
    "oauth_flows": [EXPIRING],
    "mailboxes": [OF_WORKSPACE],
    "outbox": [OUTBOX],
    "mail_states": [MAIL_STATES],
    "mail_uids": [MAIL_UIDS],
    "quarantined_mails": [OF_WORKSPACE, RETRIES],
}


async def create(database: Database) -> None:
    """Creates what is missing: all indexes of a collection in one call, before its first document."""
    for collection, indexes in INDEXES.items():
        await database.create_indexes(collection, [IndexModel(keys) for keys in indexes])
