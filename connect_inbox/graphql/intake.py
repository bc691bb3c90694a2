"""What every operation passes, whichever transport brings it: what may be asked for, how much, and for how long."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from connect_inbox.graphql import operation as operations
from connect_inbox.graphql.documents import Documents
from connect_inbox.graphql.errors import coded
from connect_inbox.graphql.executor import FastExecutor
from connect_inbox.graphql.limits import Limits
from connect_inbox.graphql.operation import Operation, Request, Result
from connect_inbox.graphql.outcomes import refused, timed
from connect_inbox.rates import Rates, address_of
from connect_inbox.settings import Settings
from connect_inbox.timings import Timings
from resolvers.context import Context
from schema.types.context import Caller
from schema.types.errors import ApiError
from schema.types.rate_limit import RateLimit
from sync.mail_access import MailAccess

ASKING = 10  # points of an operation, whatever it asks for


class Intake:
    """One for all transports of a process."""

    def __init__(self, settings: Settings, mail: MailAccess | None = None) -> None:
        self._mail = mail or MailAccess()
        self.rates = Rates(
            settings.rate_per_token,
            settings.rate_per_address,
            settings.streams_per_token,
            settings.streams_per_address,
        )
        self.operations_per_socket = settings.operations_per_socket
        self.timings = Timings("type", "outcome")
        executor = FastExecutor if settings.fast_executor else StrawberryGraphQLCoreExecutionContext
        self.documents = Documents(limits_of(settings), executor)
        self._trusted_proxies = settings.trusted_proxies

    def address_of(self, connection: HTTPConnection) -> str:
        """The client's address, as it is counted."""
        peer = connection.client.host if connection.client else ""
        return address_of(peer, connection.headers, self._trusted_proxies)

    def admit(self, address: str) -> None:
        """Before anything is looked into. Raises RateLimited."""
        self.rates.check(address)
        self.rates.spend(ASKING, address)

    def prepare(self, request: Request, caller: Caller, address: str) -> tuple[Operation, RateLimit]:
        """The operation that is asked for, paid for. Raises Invalid, RateLimited."""
        with refused(self.timings):
            return self._prepare(request, caller, address)

    def _prepare(self, request: Request, caller: Caller, address: str) -> tuple[Operation, RateLimit]:
        self.rates.check(address, caller.token)
        reading = ASKING if self.documents.knows(request.query) else ASKING + len(request.query)
        self.rates.spend(reading, address, caller.token)
        operation = self.documents.prepare(request)
        executing = operation.cost + operation.kept
        self.rates.spend(executing, address, caller.token)
        return operation, self.rates.limit_of(caller.token, reading + executing)

    async def run(self, operation: Operation, context: Context) -> Result:
        """Executes a query or mutation, for as long as it may take."""
        context.mail = self._mail
        with timed(self.timings, operation) as outcome:
            result = await self._run(operation, context)
            outcome.is_of(result, context)
            return result

    async def _run(self, operation: Operation, context: Context) -> Result:
        try:
            async with operations.in_time(operation):
                return await operations.run(operation, context)
        except ApiError as late:
            return {"errors": [coded(late)], "data": None}

    def another_operation(self, running: int) -> None:
        """Raises RateLimited where as many run on a socket as may."""
        if running >= self.operations_per_socket:
            raise self.rates.refusal(f"{running} operations run on this socket, and that is the limit", 1)


def limits_of(settings: Settings) -> Limits:
    return Limits(
        depth=settings.max_depth,
        aliases=settings.max_aliases,
        directives=settings.max_directives,
        tokens=settings.max_tokens,
        selections=settings.max_selections,
        cost=settings.max_cost,
        introspection=settings.introspection,
        suggestions=settings.suggestions,
        seconds=settings.operation_timeout,
    )
