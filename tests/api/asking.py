"""Asking for many things at once, and comparing what is answered."""

from __future__ import annotations

import json
from typing import Any

from tests.api.documents import Operation
from tests.api.world import World
from tests.client import Api, Json

# Where an id selects rather than names: what is not there matches nothing, and is no error.
FILTERS = {"InboxFilter.campaignIds", "InboxFilter.tagIds", "Thread.messages.campaignId"}


def caller_for(operation: Operation, world: World) -> Api:
    return world.partner if operation.name == "receiveMessage" else world.admin


def told(answer: Json, *ids: str) -> str:
    """An answer as text, with these ids made one."""
    text = json.dumps(answer, sort_keys=True)
    for id in ids:
        text = text.replace(id, "ID")
    return text


def codes(answer: Json) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


async def answers_to(api: Api, operation: Operation, many: list[dict[str, Any]]) -> list[Json]:
    """What is answered first to each of these variables, all asked at once on one socket."""
    answers: dict[str, Json] = {}
    async with api.socket() as socket:
        asked = [await socket.subscribe(operation.document, **values) for values in many]
        while len(answers) < len(many):
            message = await socket.receive()
            if message["type"] == "error":
                answers[message["id"]] = {"errors": message["payload"]}
            elif message["type"] == "next":
                answers.setdefault(message["id"], message["payload"])
    return [answers[each.id] for each in asked]
