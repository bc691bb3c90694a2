"""Influencers who write now and then, through the public API like any partner app."""

from __future__ import annotations

import asyncio
import logging
import secrets
from random import Random
from typing import Any

import httpx2

from connect_inbox.demo.texts import LIVE

logger = logging.getLogger("connect_inbox.demo")

LEAST, MOST = 2.0, 6.0  # seconds between two messages
WHO = """
query { inbox(first: 100) { edges { node {
  id influencer { hasAccount } participations { campaign { id name state } }
} } } }
"""
RECEIVE = """
mutation($input: ReceiveMessageInput!) { receiveMessage(input: $input) { message { id } userErrors { message } } }
"""


async def keep_writing(url: str, token: str) -> None:
    """Goes on until it is cancelled. What fails is logged, and tried again with the next message."""
    random = Random()
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=30) as client:
        while True:
            await asyncio.sleep(random.uniform(LEAST, MOST))
            try:
                await write_one(client, url, random)
            except (httpx2.HTTPError, RuntimeError) as error:
                logger.warning("an influencer could not write: %s", str(error) or type(error).__name__)


async def write_one(client: httpx2.AsyncClient, url: str, random: Random) -> None:
    """Somebody with an account writes something, at times about a campaign that runs."""
    data = await post(client, url, WHO, {})
    threads = [edge["node"] for edge in data["inbox"]["edges"] if edge["node"]["influencer"]["hasAccount"]]
    if not threads:
        return
    thread = random.choice(threads)
    running = [each["campaign"] for each in thread["participations"] if each["campaign"]["state"] == "LIVE"]
    campaign = random.choice([None, *running])
    gear = campaign["name"] if campaign else "parcel"
    message = {
        "threadId": thread["id"],
        "text": random.choice(LIVE).format(gear=gear),
        "externalId": f"demo-{secrets.token_hex(8)}",
        "campaignId": campaign["id"] if campaign else None,
    }
    payload = (await post(client, url, RECEIVE, {"input": message}))["receiveMessage"]
    if payload["userErrors"]:
        raise RuntimeError(payload["userErrors"][0]["message"])


async def post(client: httpx2.AsyncClient, url: str, query: str, variables: dict[str, Any]) -> Any:
    response = await client.post(url, json={"query": query, "variables": variables})
    answer = response.raise_for_status().json()
    if answer.get("errors"):
        raise RuntimeError(answer["errors"][0]["message"])
    return answer["data"]
