"""`GET /metrics`: what this process has counted, for Prometheus.

Nothing is counted here: everything is a plain number that its owner keeps, read when it is asked for. No label holds a
workspace, a name, an address or anything else that comes from outside, so there are as many series tomorrow as today.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from connect_inbox.graphql.groups import Groups
from connect_inbox.graphql.http import Endpoint
from connect_inbox.graphql.intake import Intake
from connect_inbox.graphql.websocket import Sockets
from connect_inbox.logs import Answered
from connect_inbox.timings import Timings
from storage.head import Head
from storage.store import Store
from sync.mail_counters import MailCounters

INTERVAL = 0.25  # seconds between two looks at how late the event loop is


@dataclass(frozen=True, eq=False)
class Sources(Collector):
    """Who counts, in one process."""

    store: Store
    groups: Groups
    intake: Intake
    endpoint: Endpoint
    sockets: Sockets
    answered: Answered
    mail: MailCounters
    loop_lag: Timings

    def collect(self) -> Iterator[Metric]:
        yield from self._operations()
        yield from self._transports()
        yield from self._subscriptions()
        yield from self._log()
        yield from self._mail()
        yield from self._surroundings()

    def _operations(self) -> Iterator[Metric]:
        intake = self.intake
        about = "Operations by type and outcome; of a subscription, its beginning."
        yield histogram("operation_seconds", about, intake.timings, self.groups.timings)
        yield counter("rate_limited", "Requests and operations refused by a rate limit.", intake.rates.refused)
        documents = {"hit": intake.documents.hits, "miss": intake.documents.misses}
        yield counters("documents", "Documents, by whether they had been read and kept before.", "cache", documents)

    def _transports(self) -> Iterator[Metric]:
        answered = {str(status): count for status, count in self.answered.items()}
        yield counters("http_answers", "HTTP requests answered, by status.", "status", answered)
        yield gauge("event_streams", "Event streams that are open.", self.endpoint.streams)
        yield gauge("sockets", "WebSockets that are open.", len(self.sockets))
        about = "WebSockets that ended, by our close code, or `client`."
        yield counters("sockets_closed", about, "code", self.sockets.closed)
        about = "WebSockets and event streams cut off because their client did not read."
        yield counter("slow_clients", about, self.sockets.cut_off + self.endpoint.cut_off)

    def _subscriptions(self) -> Iterator[Metric]:
        groups = self.groups
        yield gauge("subscribers", "Subscriptions that are open.", groups.subscribers)
        yield gauge("groups", "Groups of equal subscriptions, each executed once for all of them.", len(groups))
        yield counter("events_executed", "Events executed.", groups.executed)
        yield counter("events_delivered", "Events handed over to subscribers.", groups.delivered)
        yield histogram(
            "delivery_lag_seconds", "From a change's making to its hand-over to all of a group.", groups.lag
        )

    def _log(self) -> Iterator[Metric]:
        counted, heads = self.store.log.counters, self.store.log.heads()
        yield counter("log_entries", "Entries committed by this process.", counted.entries)
        yield counter("log_changes", "Changes committed by this process.", counted.changes)
        yield counter("log_conflicts", "Commits lost to another process, and made again.", counted.conflicts)
        yield counter("log_repairs", "Entries found committed and not applied, and applied.", counted.repairs)
        yield gauge("log_head", "Sum of the workspaces' last positions, as known here.", sum(map(committed, heads)))
        yield gauge("log_applied", "Sum of their last applied positions.", sum(max(head.known, 0) for head in heads))
        behind = max((committed(head) - max(head.known, 0) for head in heads), default=0)
        yield gauge("log_behind", "Positions that the worst workspace has to apply. If it stays: see the log.", behind)
        yield gauge("workspaces_followed", "Workspaces with subscribers here.", len(self.store.log.followed()))

    def _mail(self) -> Iterator[Metric]:
        mail = self.mail
        yield gauge("mailboxes_read", "Mailboxes that this process reads.", mail.reading)
        about = "Mails found in mailboxes, by what became of them."
        yield counters("mails_found", about, "became", mail.found)
        about = "Tries to send a mail, for each recipient, by what came of them."
        yield counters("mails_sent", about, "outcome", mail.sent)
        about = "Times that a mailbox's server failed, by kind."
        yield counters("mail_failures", about, "kind", mail.failures)

    def _surroundings(self) -> Iterator[Metric]:
        yield counter("database_calls", "Calls to the database.", self.store.database.calls)
        yield gauge("wire_up", "Whether the wire to other processes is up.", int(self.store.wire.is_up))
        yield histogram("event_loop_lag_seconds", "How late the event loop was.", self.loop_lag)


def committed(head: Head) -> int:
    return max(head.committed, head.known, 0)


def gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"connect_inbox_{name}", about, value)


def counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"connect_inbox_{name}", about, value)


def counters(name: str, about: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"connect_inbox_{name}", about, labels=[label])
    for each, value in sorted(values.items()):
        family.add_metric([each], value)
    return family


def histogram(name: str, about: str, *timings: Timings) -> Metric:
    """Of one or several owners, who have the same labels, and different values of them."""
    family = HistogramMetricFamily(f"connect_inbox_{name}", about, labels=timings[0].labels)
    for owner in timings:
        for labels, each in sorted(owner.histograms.items()):
            family.add_metric(labels, each.buckets(), each.total)
    return family


class Metrics:
    """Answers `GET /metrics`."""

    def __init__(self, sources: Sources) -> None:
        self._registry = CollectorRegistry()  # of this app alone: a process may have several
        self._registry.register(sources)
        ProcessCollector(registry=self._registry)

    async def __call__(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@asynccontextmanager
async def open_metrics(sources: Sources) -> AsyncIterator[Metrics]:
    """While the context is open, the event loop is watched."""
    watching = asyncio.create_task(watch_loop(sources.loop_lag))
    try:
        yield Metrics(sources)
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def watch_loop(lag: Timings) -> None:
    """Notes how late the event loop is, until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL
        await asyncio.sleep(INTERVAL)
        lag.add(loop.time() - due)
