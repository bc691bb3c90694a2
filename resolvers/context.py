"""What every resolver is given: the store, and who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import strawberry

from schema.types.context import Caller
from storage.reader import StoreReader
from storage.store import Store


@dataclass
class Context:
    """One execution: a request, or one event of a subscription."""

    store: Store
    reader: StoreReader

    @property
    def caller(self) -> Caller:
        return self.reader.caller

    def reader_at(self, position: str) -> StoreReader:
        """A reader for the same caller, where everything up to `position` is known to be applied."""
        return StoreReader(self.store, self.caller, position)


Info = strawberry.Info[Context, Any]
