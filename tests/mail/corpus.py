"""The folder of mails that others wrote, where it is at hand. It is no part of the project."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "mail-corpus"


def corpus(name: str) -> Path:
    """A folder of it; the test is skipped where there is none."""
    folder = FOLDER / name
    if not folder.is_dir():
        pytest.skip("the corpus of mails is not at hand")
    return folder
