"""A reply, apart from the history that it quotes and the signature under it. Nothing is lost: each line goes somewhere.

Where it is in doubt whether something was written now, it was: what is folded away wrongly is not read.
"""

from __future__ import annotations

from dataclasses import dataclass

from sync.mail_quote_lines import LINE, MOBILE, MOBILE_LINE, Kind, kinds_of, says_who_wrote

SIGNATURE = 20  # lines with something in them; more are no signature, whatever is above them
SIGNATURE_MARKS = {"--", "—", "\u2013"}
UNDERLINE = 5  # characters: a line of so many underscores above a few last lines begins a signature too
OVERHANG = 2  # lines that broke out of a quotation, as the program that broke them knew of none


@dataclass(frozen=True)
class Reply:
    """The three are all of the lines, but for blank ones around them."""

    text: str
    quoted: str | None
    signature: str | None


def split_reply(text: str) -> Reply:
    lines = text.split("\n")
    kinds = kinds_of(lines)
    take_in_overhangs(kinds)
    written, quoted = history(lines, kinds)
    written, below = without_last_quote(kinds, written)
    written, signature = without_signature(lines, kinds, written)
    written, above = without_last_quote(kinds, written)
    written, rules = without_last_rules(kinds, written)
    # A line across belongs to what it was drawn above.
    return Reply(
        text=joined(lines, written) or "",
        quoted=joined(lines, sorted(quoted + below + above + ([] if signature else rules))),
        signature=joined(lines, sorted(signature + rules)) if signature else None,
    )


def joined(lines: list[str], places: list[int]) -> str | None:
    """Lines as a text of their own, or None where they hold nothing."""
    taken = [lines[place].rstrip() for place in places]
    while taken and not taken[-1]:
        taken.pop()
    start = next((place for place, line in enumerate(taken) if line), len(taken))
    return "\n".join(taken[start:]) or None


def take_in_overhangs(kinds: list[Kind]) -> None:
    """Lines between two lines of a quotation, with no blank one around them, belong to it."""
    last = None
    for place, kind in enumerate(kinds):
        if kind is Kind.QUOTE:
            if last is not None and 0 < place - last - 1 <= OVERHANG:
                kinds[last + 1 : place] = [Kind.QUOTE] * (place - last - 1)
            last = place
        elif kind is not Kind.TEXT:
            last = None


def history(lines: list[str], kinds: list[Kind]) -> tuple[list[int], list[int]]:
    """The lines that were written now, and those that repeat what was written before."""
    marks = [place for place, kind in enumerate(kinds) if kind in (Kind.WROTE, Kind.HEADER)]
    if not marks:
        everything = list(range(len(kinds)))
        return ([], everything) if is_all_history(lines, kinds) else (everything, [])
    first = marks[0]
    if Kind.TEXT not in kinds[:first] and Kind.QUOTE not in kinds[:first]:
        return reply_below(kinds)
    below = after(kinds, first)
    if kinds[first] is Kind.HEADER or below is None or kinds[below] is not Kind.QUOTE:
        return list(range(first)), list(range(first, len(kinds)))
    return reply_around(kinds, first)


def is_all_history(lines: list[str], kinds: list[Kind]) -> bool:
    """Whether there is but a quotation that says itself whom it quotes. Who only quotes means what is quoted."""
    first = next((place for place, kind in enumerate(kinds) if kind is not Kind.BLANK), None)
    if first is None or not all(kind in (Kind.QUOTE, Kind.BLANK) for kind in kinds):
        return False
    return says_who_wrote([lines[first][:LINE].lstrip("> ")])


def after(kinds: list[Kind], place: int) -> int | None:
    """Where something stands again, after the lines that say who wrote it."""
    skipped = (Kind.WROTE, Kind.HEADER, Kind.BLANK)
    return next((at for at in range(place, len(kinds)) if kinds[at] not in skipped), None)


def reply_around(kinds: list[Kind], first: int) -> tuple[list[int], list[int]]:
    """A reply above a marked quotation. It may go on within it: then what it answers is shown too."""
    if answers_between(kinds, first):
        marks = [place for place in range(len(kinds)) if kinds[place] is Kind.WROTE]
        return [place for place in range(len(kinds)) if kinds[place] is not Kind.WROTE], marks
    last = max(place for place, kind in enumerate(kinds) if kind is Kind.QUOTE)
    tail = next((place for place in range(last + 1, len(kinds)) if kinds[place] in (Kind.WROTE, Kind.HEADER)), None)
    end = len(kinds) if tail is not None else last + 1
    return [*range(first), *range(end, len(kinds))], list(range(first, end))


def answers_between(kinds: list[Kind], start: int) -> bool:
    """Whether something that is not quoted stands between quotations."""
    seen = [kind for kind in kinds[start:] if kind in (Kind.QUOTE, Kind.TEXT)]
    if Kind.TEXT not in seen:
        return False
    text = seen.index(Kind.TEXT)
    return Kind.QUOTE in seen[:text] and Kind.QUOTE in seen[text:]


def reply_below(kinds: list[Kind]) -> tuple[list[int], list[int]]:
    """Nothing stands above the history: what was written now stands below it, or this is a forwarded mail."""
    quoted = [place for place, kind in enumerate(kinds) if kind in (Kind.WROTE, Kind.HEADER)]
    below = after(kinds, 0)
    while below is not None and kinds[below] is Kind.RULE:
        below = after(kinds, below + 1)
    if below is not None and kinds[below] is Kind.QUOTE and not answers_between(kinds, below):
        quoted += [place for place in range(below, len(kinds)) if kinds[place] is Kind.QUOTE]
    hidden = set(quoted)
    return [place for place in range(len(kinds)) if place not in hidden], sorted(hidden)


def without_signature(lines: list[str], kinds: list[Kind], written: list[int]) -> tuple[list[int], list[int]]:
    """What was written, and the signature under it: below two dashes, or where a telephone says that it is one."""
    start = signature_start(lines, kinds, written)
    first = start
    for at in range(start - 1, -1, -1):
        place = written[at]
        if is_mobile(lines[place], kinds[place]):
            first = at
        elif kinds[place] not in (Kind.BLANK, Kind.RULE):
            break
    return written[:first], written[first:]


def is_mobile(line: str, kind: Kind) -> bool:
    return kind is Kind.TEXT and len(line) <= MOBILE_LINE and MOBILE.match(line) is not None


def signature_start(lines: list[str], kinds: list[Kind], written: list[int]) -> int:
    """Where the signature begins among the lines that were written, or their number. It holds no quotation."""
    first = next((at for at, place in enumerate(written) if kinds[place] is Kind.TEXT), len(written))
    filled = 0
    start = len(written)
    for at in range(len(written) - 1, -1, -1):
        place = written[at]
        if kinds[place] is Kind.QUOTE or filled > SIGNATURE:
            break
        if kinds[place] is Kind.RULE and is_signature_mark(lines[place], filled) and first < at:
            start = at
        filled += kinds[place] is Kind.TEXT
    return start


def is_signature_mark(line: str, filled: int) -> bool:
    mark = line.strip()
    return mark in SIGNATURE_MARKS or (len(mark) >= UNDERLINE and set(mark) == {"_"} and filled > 0)


def without_last_quote(kinds: list[Kind], written: list[int]) -> tuple[list[int], list[int]]:
    """A quotation under all that was written is history, also where nobody says so."""
    end = len(written)
    while end > 0 and kinds[written[end - 1]] in (Kind.QUOTE, Kind.BLANK, Kind.RULE):
        end -= 1
    start = next((at for at in range(end, len(written)) if kinds[written[at]] is Kind.QUOTE), None)
    if start is None or end == 0:
        return written, []
    return written[:start], written[start:]


def without_last_rules(kinds: list[Kind], written: list[int]) -> tuple[list[int], list[int]]:
    end = len(written)
    while end > 0 and kinds[written[end - 1]] in (Kind.BLANK, Kind.RULE):
        end -= 1
    return (written[:end], written[end:]) if end > 0 else (written, [])
