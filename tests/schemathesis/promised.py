"""What we promise of every answer, as a check of schemathesis: its own takes a refusal, such as FORBIDDEN, for a fault.

Imported by schemathesis, in its own environment.
"""

from __future__ import annotations

from typing import Any

import schemathesis  # type: ignore[import-not-found]

MEDIA = ("application/json", "application/graphql-response+json")
OURS = ("INTERNAL", "TIMED_OUT")  # which say that something is wrong here


@schemathesis.check  # type: ignore[untyped-decorator]
def promised(context: Any, response: Any, case: Any) -> None:
    assert response.status_code < 500, response.status_code
    media = response.headers["content-type"][0].partition(";")[0]
    assert media in MEDIA, media
    answer = response.json()
    assert set(answer) <= {"data", "errors", "extensions"} and ("data" in answer or answer["errors"]), answer
    for error in answer.get("errors", []):
        assert isinstance(error["message"], str), error
        assert error["extensions"]["code"] not in OURS, error
