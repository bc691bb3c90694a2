"""What the demo remembers in its data folder, so that it can go on with it: who the tokens are for, and the tokens."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from connect_inbox.demo.workspace import Progress, fill_other_workspace, fill_workspace
from connect_inbox.server import CannotStart
from schema.types.context import SCOPES
from schema.types.scalars import now
from storage.store import Store
from storage.tokens import create_token, hash_of, look_up
from storage.workspaces import workspaces

STATE_FILE = "demo.json"
VALID = timedelta(days=365)


@dataclass(frozen=True)
class Owner:
    """Who a token speaks for."""

    workspace: str
    id: str
    scopes: list[str]


@dataclass
class State:
    """Empty while the folder is being filled."""

    owners: dict[str, Owner]
    tokens: dict[str, str]


def read_state(folder: Path) -> State | None:
    """What was remembered; None in a folder that no demo has used."""
    try:
        stored = json.loads((folder / STATE_FILE).read_text())
        return State({name: Owner(**owner) for name, owner in stored["owners"].items()}, stored["tokens"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CannotStart(f"{folder / STATE_FILE} cannot be read; remove the folder, or choose another") from error


def is_filled(folder: Path) -> bool:
    state = read_state(folder)
    return state is not None and bool(state.owners)


def write_state(folder: Path, state: State) -> None:
    """Replaces the file as a whole. It holds tokens, so only its owner can read it."""
    new = folder / f"{STATE_FILE}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(state), file, indent=2)
    new.replace(folder / STATE_FILE)


async def prepare(store: Store, folder: Path, count: int, progress: Progress) -> dict[str, str]:
    """Tokens for the demo's workspaces, which are filled unless they are already."""
    state = read_state(folder)
    if state is None and await workspaces(store):
        raise CannotStart(f"{folder} holds workspaces that are not the demo's; choose another folder for --data")
    if state is None or not is_filled(folder):
        write_state(folder, State({}, {}))  # killed while it fills, the next start begins with new workspaces
        state = State(await fill(store, count, progress), {})
    await renew_tokens(store, state)
    write_state(folder, state)
    return state.tokens


async def fill(store: Store, count: int, progress: Progress) -> dict[str, Owner]:
    team = await fill_workspace(store, count, progress)
    other = await fill_other_workspace(store)
    return {
        "memberToken": Owner(team.workspace, team.admin.id, []),
        "secondMemberToken": Owner(team.workspace, team.member.id, []),
        "otherWorkspaceToken": Owner(other.workspace, other.admin.id, []),
        "partnerToken": Owner(team.workspace, team.partner.id, list(SCOPES)),
    }


async def renew_tokens(store: Store, state: State) -> None:
    """Makes those tokens that are missing or no longer good."""
    standings = await look_up(store, [hash_of(token) for token in state.tokens.values()])
    for name, owner in state.owners.items():
        standing = standings.get(hash_of(state.tokens.get(name, "")))
        if standing is None or standing.revoked or standing.expires_at <= now():
            expires_at = now() + VALID
            state.tokens[name], _ = await create_token(
                store, owner.workspace, owner.id, "demo", owner.scopes, expires_at
            )
