"""Arguments that several fields take, described once."""

from __future__ import annotations

from typing import Annotated

import strawberry

from schema.types.influencer import InfluencerRef
from schema.types.node import described
from schema.types.thread import InboxFilter

First = Annotated[int | None, described("How many rows: 0 to 100, 25 if left out.")]
After = Annotated[str | None, described("A cursor: the rows behind it.")]
ObjectId = Annotated[strawberry.ID, described("The object's id.")]
ObjectIds = Annotated[list[strawberry.ID], described("The objects' ids, at most a hundred.")]
Reference = Annotated[InfluencerRef, described("Who is meant.")]
Filter = Annotated[InboxFilter | None, described("Which threads; all, if left out.")]
Search = Annotated[str | None, described("Words that names, handles or addresses have words beginning with.")]
Since = Annotated[str | None, described("A log position: what came after it comes first. From now on, if left out.")]
SincePosition = Annotated[str, described("A log position.")]
MostChanges = Annotated[int | None, described("How many log positions: 0 to 100.")]
ThreadId = Annotated[strawberry.ID, described("The thread's id.")]
OnlyThreadId = Annotated[strawberry.ID | None, described("Only this thread.")]
OnlyCampaignId = Annotated[strawberry.ID | None, described("Only what belongs to this campaign.")]
