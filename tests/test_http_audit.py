"""The audit suite of the npm package graphql-http: what a GraphQL server over HTTP must, should and may do."""

from __future__ import annotations

import json

from connect_inbox.settings import Settings
from storage.store import Store
from tests.api.conftest import create_brand
from tests.npm_client import needs_node, output_of
from tests.server import running

CHECKS = 61


async def test_it_does_all_that_it_must_should_and_may(store: Store) -> None:
    needs_node()
    async with running(store, Settings()) as server:
        brand = await create_brand(store, server)
        lines = await output_of("audit.mjs", server.url, brand.member.token)
    found = [json.loads(line) for line in lines]
    assert len(found) == CHECKS
    assert not [each for each in found if each["status"] != "ok"]
