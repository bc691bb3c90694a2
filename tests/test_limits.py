"""What is counted of a document and of its clients, without a server."""

from __future__ import annotations

import time
from ipaddress import ip_network
from typing import Any

import pytest
from graphql import OperationDefinitionNode, get_introspection_query, parse
from starlette.datastructures import Headers

from connect_inbox import rates
from connect_inbox.graphql import documents
from connect_inbox.graphql.cost import Pricing
from connect_inbox.graphql.documents import Documents
from connect_inbox.graphql.limits import Counting, Limits, refusals
from connect_inbox.graphql.operation import Invalid, Request
from connect_inbox.rates import RateLimited, Rates, address_of


def doubling(fragments: int) -> str:
    """Each fragment spreads the next one twice."""
    chain = [f"fragment f{each} on Viewer {{ ...f{each - 1} ...f{each - 1} }}" for each in range(1, fragments)]
    return f"{{ viewer {{ ...f{fragments - 1} }} }} fragment f0 on Viewer {{ id }} {' '.join(chain)}"


def told(query: str, limits: Limits | None = None) -> list[str]:
    return [each.message for each in refusals(parse(query), limits or Limits())]


def nested(levels: int) -> str:
    """An operation with that many levels of fields."""
    return "{ viewer " + "{ a " * (levels - 1) + "}" * levels


def test_a_document_of_doubling_fragments_is_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    visits: list[object] = []
    walk = Counting.selection

    def counted(self: Counting, selection: Any) -> Any:
        visits.append(selection)
        return walk(self, selection)

    monkeypatch.setattr(Counting, "selection", counted)
    steps = []
    for fragments in (30, 60):
        visits.clear()
        assert told(doubling(fragments)) == [
            "the document has more than 1000000000 selections with its fragments expanded; the limit is 5000"
        ]
        steps.append(len(visits))
    assert steps == [61, 121]


def test_each_limit_is_told_with_what_there_is_and_what_is_allowed() -> None:
    aliases = " ".join(f"a{each}: id" for each in range(31))
    selections = " ".join(["id"] * 4999)
    directives = " @include(if: true)" * 31
    for at_limit, above, message in (
        (nested(12), nested(13), "the document has 13 levels of fields; the limit is 12"),
        (f"{{ viewer {{ {aliases[7:]} }} }}", f"{{ viewer {{ {aliases} }} }}", "31 aliases; the limit is 30"),
        (f"{{ viewer {{ {selections} }} }}", f"{{ viewer {{ {selections} id }} }}", "5001 selections"),
        (
            "{ viewer" + directives.removesuffix(" @include(if: true)") + " }",
            f"{{ viewer{directives} }}",
            "31 directives; the limit is 30",
        ),
        ("{" + " viewer" * 20 + "}", "{" + " viewer" * 21 + "}", "21 root fields; the limit is 20"),
    ):
        assert told(at_limit) == []
        [refused] = told(above)
        assert message in refused


def test_directives_count_wherever_they_are() -> None:
    query = """query($a: Int @x) @x { viewer @x { ... @x { id } ...f @x } } fragment f on Viewer @x { id @x @x }"""
    assert told(query, Limits(directives=8)) == []
    assert told(query, Limits(directives=7)) == ["the document has 8 directives; the limit is 7"]


def test_directives_count_in_a_fragment_that_another_of_its_name_hides() -> None:
    query = "{ ...f } fragment f on Query { viewer @x @x } fragment f on Query { viewer }"
    assert told(query, Limits(directives=1)) == ["the document has 2 directives; the limit is 1"]


def test_what_a_fragment_has_counts_wherever_it_is_spread() -> None:
    query = "{ viewer { ...f ...f w { ...f } } } fragment f on Viewer { a: id b: c { d } }"
    assert told(query, Limits(aliases=6, depth=4)) == []
    assert told(query, Limits(aliases=5)) == ["the document has 6 aliases; the limit is 5"]
    assert told(query, Limits(depth=3)) == ["the document has 4 levels of fields; the limit is 3"]


def test_a_fragment_that_nobody_spreads_is_counted_too() -> None:
    unused = doubling(30).replace("{ viewer { ...f29 } }", "{ viewer { id } }")
    assert told(unused)


@pytest.mark.parametrize("query", ["{ ...f } fragment f on Query { ...g } fragment g on Query { ...f }", "{ ...none }"])
def test_what_leads_nowhere_is_left_to_validation(query: str) -> None:
    assert told(query) == []


def test_a_chain_of_fragments_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = " ".join(f"fragment f{each} on A {{ a {{ ...f{each + 1} }} }}" for each in range(900))
    assert "nested too deeply" in told(f"{{ ...f0 }} {chain}")[0]


def test_the_schema_can_be_asked_for_but_not_in_circles() -> None:
    assert told(get_introspection_query()) == []
    assert told("{ __typename viewer { __typename } }", Limits(introspection=False)) == []
    circle = "{ __schema { types { fields { type { fields { name } } } } } }"
    types = "fragment f on __Type { fields { type { ...g } } } fragment g on __Type { interfaces { name } }"
    for query in (circle, f"{{ __type {{ ...f }} }} {types}"):
        assert "lists of types within each other" in told(query)[0]
        assert "introspection is off" in told(query, Limits(introspection=False))[0]


def cost(query: str, **variables: Any) -> int:
    document = parse(query)
    [operation] = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    return Pricing(document).cost(operation).of(variables)


PAGES = "query($a: Int, $b: Int = 7) { inbox(first: $a) { nodes { messages(last: $b) { edges { node { id } } } } } }"


@pytest.mark.parametrize(
    ("query", "variables", "objects"),
    [
        ("{ viewer { id } }", {}, 1),
        ("{ viewer { workspace { id } } }", {}, 2),
        ("{ inbox { nodes { id } } }", {}, 25),
        ("{ inbox(first: 3) { pageInfo { endCursor } edges { cursor node { id } } } }", {}, 3),
        ("{ inbox(first: 3) { nodes { id influencer { id } lastMessage { id } } } }", {}, 6),
        ("{ inbox(first: 3) { nodes { influencer { tags { id } } } } }", {}, 18),
        ("{ inbox(first: 100) { nodes { messages(first: 100) { nodes { id } } } } }", {}, 10_000),
        ("{ changes(since: \"\") { changes { nodes { id } } } }", {}, 500),
        (PAGES, {"a": 10, "b": 20}, 200),
        (PAGES, {"a": 10}, 70),
        (PAGES, {}, 175),
        (PAGES, {"a": None, "b": None}, 625),
        (PAGES, {"a": 0}, 0),
        (PAGES, {"a": 10**12, "b": 100}, 10_000),
        (PAGES, {"a": -5}, 0),
        (PAGES, {"a": "ten", "b": True}, 625),
        ("{ nodes(ids: [1, 2, 3]) { id } }", {}, 3),
        ("query($i: [ID!]!) { nodes(ids: $i) { ... on Thread { messages { nodes { id } } } } }", {"i": ["a"] * 4}, 100),
        ("query($a: Int) { inbox(first: $a) { ...f } } fragment f on InboxConnection { nodes { id ...g ...g } } "
         "fragment g on Thread { messages(last: $a) { nodes { id } } }", {"a": 10}, 200),
        ("{ __schema { types { name } } }", {}, 2500),
        ("mutation { markThreadsRead(input: {}) { threads { id } userErrors { code } } }", {}, 106),
        ("subscription { messageAdded { message { id author { id } } } }", {}, 3),
    ],
)  # fmt: skip
def test_cost_is_the_objects_that_an_answer_may_hold(query: str, variables: dict[str, Any], objects: int) -> None:
    assert cost(query, **variables) == objects


def test_the_cost_of_doubling_fragments_is_found_in_one_pass() -> None:
    """With a size that only the request says, so that nothing can be added up before."""
    document = parse(
        doubling(60)
        .replace("{ viewer", "query($a: Int) { viewer")
        .replace("Viewer", "Thread")
        .replace("{ id }", "{ messages(last: $a) { nodes { id } } }")
    )
    [operation] = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    found = Pricing(document).cost(operation)
    assert len(found.steps) <= 61
    assert found.of({"a": 3}) == 3 * 2**59 + 1


def prepared(known: Documents, query: str, name: str | None = None, **variables: Any) -> object:
    return known.prepare(Request(query, variables, name))


def test_a_request_is_refused_for_the_cost_that_its_variables_make() -> None:
    known = Documents(Limits(cost=199))
    prepared(known, PAGES, a=10, b=19)
    with pytest.raises(Invalid) as raised:
        prepared(known, PAGES, a=10, b=20)
    [error] = raised.value.errors
    assert error == {
        "message": "the document has 200 objects in its answer; the limit is 199",
        "extensions": {"code": "TOO_COMPLEX"},
    }


def test_the_operation_that_is_named_is_the_one_that_pays() -> None:
    known = Documents(Limits(cost=50))
    both = "query a { inbox(first: 1) { nodes { id } } } query b { inbox(first: 99) { nodes { id } } }"
    prepared(known, both, "a")
    with pytest.raises(Invalid):
        prepared(known, both, "b")


def test_documents_are_read_once_whether_they_are_good_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(query: str, **options: Any) -> Any:
        read.append(query)
        return parse(query, **options)

    monkeypatch.setattr("connect_inbox.graphql.documents.parse", counted)
    known = Documents(Limits())
    asked = ["{ viewer { id } }", "subscription { unreadCount { threads } }", "{ nothing }", "}{", nested(13)]
    for _ in range(3):
        for query in asked:
            try:
                prepared(known, query)
            except Invalid:
                pass
    assert read == asked


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "KEPT", 1000)
    monkeypatch.setattr(documents, "LARGEST_KEPT", 100)
    known = Documents(Limits())
    large = "{ viewer { id } }" + " " * 100
    prepared(known, large)
    assert not known.knows(large)
    queries = [f"{{ a{each}: viewer {{ id }} }}" for each in range(100)]
    for query in queries:
        prepared(known, query)
        prepared(known, queries[0])
    kept = [each for each in queries if known.knows(each)]
    assert kept[0] == queries[0] and kept[-1] == queries[-1]
    assert 900 < sum(map(len, kept)) <= 1000
    assert known.misses == 101


class Clock:
    """The time, as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def wait_of(limited: Rates, address: str, token: str | None = None) -> int | None:
    try:
        limited.check(address, token)
    except RateLimited as refused:
        assert refused.extensions == {"retryAfter": refused.retry_after}
        return refused.retry_after
    return None


def test_points_come_back_evenly_and_debts_are_paid_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    limited = Rates(600, 0, 0, 0)
    limited.spend(599, "a", "t")
    assert wait_of(limited, "a", "t") is None
    limited.spend(1000, "a", "t")
    assert wait_of(limited, "a", "t") == 100  # 999 are owed, and one is needed
    assert wait_of(limited, "a", "other") is None
    clock.now += 99
    assert wait_of(limited, "a", "t") == 1
    clock.now += 1
    assert wait_of(limited, "a", "t") is None
    clock.now += 3600
    assert limited.limit_of("t", 5).remaining == 600


def test_an_address_is_limited_with_and_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    limited = Rates(0, 60, 0, 0)
    limited.spend(60, "a", "t")
    assert wait_of(limited, "a") == wait_of(limited, "a", "other") == 1
    assert wait_of(limited, "b", "t") is None


def test_without_limits_nothing_is_counted_and_that_is_told() -> None:
    free = Rates(0, 0, 0, 0)
    free.spend(10**12, "a", "t")
    assert wait_of(free, "a", "t") is None
    limit = free.limit_of("t", 7)
    assert (limit.cost, limit.limit, limit.remaining, limit.reset_at) == (7, None, None, None)
    with free.hold_token("t"), free.hold_address("a"):
        free.check_token_streams("t")
        free.check_address_streams("a")


def test_buckets_are_bounded_and_those_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_BUCKETS", 10)
    Clock(monkeypatch)
    limited = Rates(0, 60, 0, 0)
    limited.spend(60, "busy")
    for each in range(100):
        limited.spend(60, f"address {each}")
        limited.spend(1, "busy")
    assert wait_of(limited, "busy") and wait_of(limited, "address 99")
    assert wait_of(limited, "address 0") is None
    assert len(limited._addresses._left) == 10


def test_streams_are_counted_until_they_end() -> None:
    limited = Rates(0, 0, 2, 1)
    with limited.hold_token("t"), limited.hold_token("other"), limited.hold_address("a"):
        limited.check_token_streams("t")
        limited.check_address_streams("b")
        with limited.hold_token("t"), pytest.raises(RateLimited):
            limited.check_token_streams("t")
        limited.check_token_streams("t")
        with pytest.raises(RateLimited):
            limited.check_address_streams("a")
    limited.check_address_streams("a")
    assert not limited._token_streams._held and not limited._address_streams._held


TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.7"], "203.0.113.9"),  # who is not trusted may say what they like
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["192.0.2.1, 198.51.100.7"], "198.51.100.7"),  # the left one is the client's own claim
        ("10.0.0.1", ["192.0.2.1, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["192.0.2.1", "198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("fd00::1", ["2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", [], "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("", [], ""),
    ],
)  # fmt: skip
def test_a_clients_address_is_what_trusted_proxies_say(peer: str, forwarded: list[str], address: str) -> None:
    headers = Headers(raw=[(b"x-forwarded-for", each.encode()) for each in forwarded])
    assert address_of(peer, headers, TRUSTED) == address
