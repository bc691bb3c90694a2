"""Everything that can be asked for is answered by the fast executor as by the stock one.

What changes something is done once: the fast executor is given what the resolvers returned to the stock one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from graphql import ExecutionResult, OperationDefinitionNode, execute, parse
from graphql.execution import Executor, create_source_event_stream
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext as Stock

from connect_inbox.graphql import operation as operation_module
from connect_inbox.graphql.documents import Documents
from connect_inbox.graphql.executor import FastExecutor
from connect_inbox.graphql.limits import Limits
from connect_inbox.graphql.operation import Request
from connect_inbox.settings import Settings
from resolvers.context import Context
from resolvers.feed import Feed
from schema.types.context import SCOPES, Caller, Role
from storage.feed import Batch, next_batch
from storage.positions import format_position, parse_position
from storage.reader import StoreReader, read_for
from storage.store import Store
from tests.api.conftest import token_for
from tests.api.documents import SCHEMA, Operation, operations
from tests.api.values import values_for
from tests.api.world import World, create_world
from tests.client import Server
from tests.server import running

ANSWERED = [each for each in operations() if each.kind != "subscription"]
FOLLOWED = [each for each in operations() if each.kind == "subscription"]


@pytest.fixture(scope="module")
async def world(store: Store, server: Server) -> AsyncIterator[World]:
    yield await create_world(store, server, "executors")


@pytest.fixture(scope="module")
async def admin(world: World) -> Caller:
    id = (await world.admin.run("{ viewer { id } }"))["viewer"]["id"]
    return Caller(id, "", world.workspace, token="", role=Role.ADMIN)


@pytest.fixture(scope="module")
def partner(world: World) -> Caller:
    return Caller(world.ids["partner"], "", world.workspace, token="", role=None, scopes=frozenset(SCOPES))


def remembering(kind: type[Executor[Any]], values: dict[str, Any]) -> type[Executor[Any]]:
    """An executor that takes what the root fields' resolvers return from `values`, where it is there already."""

    class Remembering(kind):  # type: ignore[misc, valid-type]
        async def complete_awaitable_value(
            self, type: Any, fields: Any, info: Any, path: Any, result: Any, position: Any
        ) -> Any:
            if path.prev is None:
                result = remembered(values, path.key, result)
            return await super().complete_awaitable_value(type, fields, info, path, result, position)

    return Remembering


async def remembered(values: dict[str, Any], name: str, result: Any) -> Any:
    if name in values:
        result.close()
        return values[name]
    try:
        values[name] = await result
    except Exception as error:
        values[name] = error
    return values[name]


async def answer(
    kind: type[Executor[Any]], operation: Operation, variables: Any, context: Context, root: object = None
) -> tuple[str, list[Any]]:
    document = parse(operation.document)
    result: Any = execute(SCHEMA, document, root, context, variables, executor_class=kind)
    if not isinstance(result, ExecutionResult):
        result = await result
    return repr(result.data), [(each.message, each.path, each.locations) for each in result.errors or []]


@pytest.mark.parametrize("operation", ANSWERED, ids=str)
async def test_what_is_asked_for_once(
    world: World, store: Store, admin: Caller, partner: Caller, operation: Operation
) -> None:
    variables = values_for(operation, world.samples(), everything=True)
    caller = partner if operation.name == "receiveMessage" else admin
    values: dict[str, Any] = {}
    contexts = [Context(store, await read_for(store, caller)) for _ in range(2)]
    stock = await answer(remembering(Stock, values), operation, variables, contexts[0])
    fast = await answer(remembering(FastExecutor, values), operation, variables, contexts[1])
    assert fast == stock
    assert stock[0] != "None" or operation.kind == "mutation", stock  # which may have deleted what another one wants


@pytest.mark.parametrize("operation", FOLLOWED, ids=str)
async def test_what_is_followed(world: World, store: Store, admin: Caller, operation: Operation) -> None:
    epoch, head = parse_position(await store.log.position(world.workspace))
    variables = values_for(operation, world.samples()) | {"since": format_position(epoch, 0)}
    batch = await next_batch(store.log, world.workspace, Batch(epoch, 0, []))
    while batch.reached < head:
        more = await next_batch(store.log, world.workspace, batch)
        batch = Batch(epoch, more.reached, [*batch.changes, *more.changes])
    reader = StoreReader(store, admin, batch.position)
    feed = await feed_of(operation, variables, Context(store, await read_for(store, admin)))
    events = await feed.tell(batch, reader)
    assert events
    for each in events:
        stock = await answer(Stock, operation, variables, Context(store, reader), each.event)
        fast = await answer(FastExecutor, operation, variables, Context(store, reader), each.event)
        assert fast == stock
        assert not stock[1]


async def feed_of(operation: Operation, variables: Any, context: Context) -> Feed:
    document = parse(operation.document)
    built = Executor.build(SCHEMA, document, context_value=context, raw_variable_values=variables)
    assert isinstance(built, Executor), built
    assert isinstance(document.definitions[0], OperationDefinitionNode)
    feed: Any = create_source_event_stream(built)
    found: Feed = feed if isinstance(feed, Feed) else await feed
    assert isinstance(found, Feed), found
    return found


MANY = """query($since: String!) {
  inbox { nodes { influencer { tags { name } notes { author { name } } participations { campaign { name } } }
                  messages(last: 5) { nodes { author { name } thread { id } } } draft { text } } }
  changes(since: $since) { changes { actor { name } nodes { __typename ... on Message { author { name } } } } }
}"""


@pytest.mark.parametrize("kind", [FastExecutor, Stock])
async def test_one_that_is_cut_short_leaves_nothing_begun(
    world: World, store: Store, admin: Caller, kind: type[Executor[Any]]
) -> None:
    """At whatever turn of the loop: Python warns of a coroutine that was never awaited when it is collected."""
    since = format_position(parse_position(await store.log.position(world.workspace))[0], 0)
    many = Documents(Limits(), kind).prepare(Request(MANY, {"since": since}, None))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for turns in range(200):
            reader = await read_for(store, admin)
            running_one = asyncio.create_task(operation_module.run(many, Context(store, reader)))
            for _ in range(turns):
                await asyncio.sleep(0)
            running_one.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running_one
        gc.collect()
    assert [str(each.message) for each in warned] == []


@pytest.mark.parametrize("fast", [True, False], ids=["on", "off"])
async def test_the_setting_chooses(
    store: Store, world: World, admin: Caller, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each app by itself: here they run beside each other."""
    used: list[type[Executor[Any]]] = []
    monkeypatch.setattr(operation_module, "execute", noting(used))
    token = await token_for(store, world.workspace, admin.id)
    async with running(store, Settings(fast_executor=fast)) as one, running(store, Settings(fast_executor=not fast)):
        answered = await one.api(token).run("{ viewer { id } inbox { pageInfo { hasNextPage } } }")
    assert answered["viewer"]["id"] == admin.id
    assert used == [FastExecutor if fast else Stock]


def noting(used: list[type[Executor[Any]]]) -> Callable[..., Any]:
    """graphql-core's `execute`, which notes with which executor it was called."""

    def noted(*what: Any, **how: Any) -> Any:
        used.append(how["executor_class"])
        return execute(*what, **how)

    return noted
