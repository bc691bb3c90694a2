"""What every resolver is given: the store, and who is asking."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import strawberry

from schema.types.context import Caller
from schema.types.errors import UserErrorCode
from schema.types.rate_limit import RateLimit
from storage.reader import StoreReader
from storage.store import Store
from sync.mail_access import MailAccess


@dataclass
class Context:
    """One execution: a request, or one event of a subscription."""

    store: Store
    reader: StoreReader
    rate_limit: RateLimit = field(default_factory=lambda: RateLimit(cost=0))
    mail: MailAccess = field(default_factory=MailAccess)
    refused: UserErrorCode | None = None  # why a mutation was

    @property
    def caller(self) -> Caller:
        return self.reader.caller


Info = strawberry.Info[Context, Any]
