"""What a workspace defines under a name that no other of its kind has: tags, custom variables, campaigns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from schema.types.campaign import Campaign
from schema.types.context import Caller
from schema.types.errors import Refused, UserErrorCode
from schema.types.tag import Tag, Variable
from storage import claims
from storage.changes import Change, Turn
from storage.claims import Key, Made
from storage.documents import to_document
from storage.indexes import OF_WORKSPACE
from storage.log import Outcome
from storage.store import Store
from storage.words import name_key
from storage.workspaces import must_be_free

Definition = Tag | Variable | Campaign


async def define(
    store: Store, caller: Caller, kind: str, name: str, key: Key | None,
    make: Callable[[datetime], Definition], most: int | None = None,
) -> Outcome[Made]:  # fmt: skip
    """Adds what `make` makes at a time, of which a workspace may have only so many; once per key."""

    async def plan(turn: Turn) -> Made:
        async def add() -> tuple[Change, str]:
            await name_must_be_free(turn, kind, name)
            if most is not None:
                await must_not_be_full(turn, f"{kind}s", most)
            made = make(turn.at)
            change = turn.begin(f"{kind.upper()}_ADDED", made.id)
            turn.put(change, f"{kind}s", made.id, {**to_document(made), "added": change.position})
            claims.take(turn, change, kind, name_key(name), made.id)
            return change, made.id

        return await claims.once(turn, key, add)

    return claims.dated(await store.log.change(caller, plan))


async def rename(turn: Turn, change: Change, kind: str, id: str, old: str, new: str) -> None:
    """Gives up one name for another. The caller writes it down."""
    await name_must_be_free(turn, kind, new, owner=id)
    claims.release(turn, change, kind, name_key(old))
    claims.take(turn, change, kind, name_key(new), id)


async def name_must_be_free(turn: Turn, kind: str, name: str, owner: str | None = None) -> None:
    await must_be_free(turn, kind, name_key(name), f"another {kind} has this name", "name", owner=owner)


async def must_not_be_full(turn: Turn, collection: str, most: int) -> None:
    found = await turn.find(
        collection, {"workspace": turn.workspace, "deleted": 0}, only=["_id"], limit=most, hint=OF_WORKSPACE
    )
    if len(found) >= most:
        raise Refused(UserErrorCode.LIMIT_REACHED, f"a workspace has at most {most} {collection}")
