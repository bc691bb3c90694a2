"""What is kept of a log for its followers: as much as they need, and only while there are any."""

from __future__ import annotations

import pytest

from storage import head as head_module
from storage.changes import Change
from storage.documents import Document
from storage.feed import begin, next_batch
from storage.head import Head
from storage.store import Store
from tests.storage.deeds import influencer, send
from tests.team import Team


def change(position: int, **fields: object) -> Change:
    written: Document = dict(fields)
    return Change(position, "MESSAGE_ADDED", "actor", 0, [], writes=[("messages", f"{position:04d}", written)])


def begun() -> Head:
    head = Head("workspace")
    head.restart("epoch", 0)
    return head


def kept(head: Head) -> int:
    """How many of the last changes it has."""
    return next(number for number in range(head.known + 1) if head.after(head.known - number - 1) is None)


def test_it_keeps_no_more_characters_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_module, "CHARACTERS", 1000)
    head = begun()
    with head.followed():
        for position in range(1, 100):
            head.publish([change(position, text="x" * 96, subject=None, order=1)])
            assert kept(head) * 100 <= 2000
            assert kept(head) == position or kept(head) * 100 > 900
        assert [each.position for each in head.after(96) or []] == [97, 98, 99]
        head.publish([change(100, text="x" * 5000)])
        assert (kept(head), head.after(99), head.after(100)) == (0, None, [])
        head.publish([change(101, text="x")])
        assert [each.position for each in head.after(100) or []] == [101]


def test_many_small_documents_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_module, "CHARACTERS", 1000)
    head = begun()
    with head.followed():
        for position in range(1, 10):
            writes: list[tuple[str, str, Document]] = [("notifications", f"{n:010d}", {"read": 1}) for n in range(50)]
            head.publish([Change(position, "THREAD_READ", "actor", 0, [], writes=writes)])
        assert kept(head) <= 4


def test_nothing_is_kept_once_the_last_follower_has_left() -> None:
    head = begun()
    with head.followed():
        with head.followed():
            head.publish([change(1)])
        assert kept(head) == 1
    assert kept(head) == 0
    head.publish([change(2)])
    assert kept(head) == 0
    with head.followed():
        head.publish([change(3)])
        assert head.after(0) is None and [each.position for each in head.after(2) or []] == [3]


async def test_who_returns_after_the_last_follower_has_left_reads_the_log(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    head = store.log.head(workspace.id)
    behind = await begin(store.log, workspace.id, None)
    with head.followed():
        await send(store, workspace.member, thread)
    await send(store, workspace.member, thread)
    with head.followed():
        await send(store, workspace.member, thread)
        batch = await next_batch(store.log, workspace.id, behind)
        assert [each.position for each in batch.changes] == [6, 7, 8]
