"""The protocol of the log, played through by chance: it keeps its promises, and needs every one of its rules.

LOG_MODEL_SCHEDULES sets how many schedules are played.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.storage.log_model import play
from tests.storage.log_world import RULES, Violation

SCHEDULES = int(os.environ.get("LOG_MODEL_SCHEDULES", "2000"))


def first_violation(rules: frozenset[str], schedules: int) -> str | None:
    for seed in range(schedules):
        try:
            play(seed, rules)
        except Violation as violation:
            return f"schedule {seed}: {violation}"
    return None


@pytest.mark.timeout(60 + SCHEDULES / 100)
def test_the_protocol_keeps_its_promises() -> None:
    assert first_violation(frozenset(RULES), SCHEDULES) is None


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_can_be_left_out(rule: str) -> None:
    assert first_violation(frozenset(RULES) - {rule}, 5000) is not None


def test_the_schedules_are_worth_playing() -> None:
    """They hold what they are meant to: changes made, refused and unknown, in groups, and a log that is pruned."""
    worlds = [play(seed) for seed in range(200)]
    outcomes = Counter(request.outcome or "killed" for world in worlds for request in world.requests)
    assert all(outcomes[outcome] > 50 for outcome in ("done", "refused", "failed", "killed")), outcomes
    assert sum(world.floor > 0 for world in worlds) > 50
    assert sum(len(entry.changes) > 1 for world in worlds for entry in world.committed.values()) > 50
