"""Keys: what is sealed opens only where it belongs, keys can be replaced, and a key file is made once."""

from __future__ import annotations

import base64
import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.keys import FILE, SIZE, Key, KeyFileError, KeyRing, WrongSeal, format_key, keys_in, new_key, parse_keys

PLAIN = b"correct horse battery staple"
OLD, NEW = Key("old", b"o" * SIZE), Key("new", b"n" * SIZE)


def test_what_is_sealed_opens_where_it_belongs_and_nowhere_else() -> None:
    ring = KeyRing([OLD])
    sealed = ring.seal(PLAIN, "one")
    assert ring.open(sealed, "one") == PLAIN
    with pytest.raises(WrongSeal):
        ring.open(sealed, "another")
    assert ring.seal(PLAIN, "one") != sealed


def test_what_was_changed_does_not_open() -> None:
    ring = KeyRing([OLD])
    sealed = ring.seal(PLAIN, "one")
    content = base64.urlsafe_b64decode(sealed.partition(".")[2])
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        with pytest.raises(WrongSeal):
            ring.open(f"old.{base64.urlsafe_b64encode(changed).decode()}", "one")
    for broken in ("", "old", "old.", "old.AAAA", "old.é", f"new.{sealed[4:]}", sealed[:-8]):
        with pytest.raises(WrongSeal):
            ring.open(broken, "one")


def test_the_first_key_seals_and_all_of_them_open() -> None:
    before, after = KeyRing([OLD]), KeyRing([NEW, OLD])
    sealed, anew = before.seal(PLAIN, "one"), after.seal(PLAIN, "one")
    assert after.open(sealed, "one") == after.open(anew, "one") == KeyRing([NEW]).open(anew, "one") == PLAIN
    assert (after.is_current(sealed), after.is_current(anew)) == (False, True)
    for ring, text in [(KeyRing([NEW]), sealed), (before, anew), (KeyRing([Key("old", b"x" * SIZE)]), sealed)]:
        with pytest.raises(WrongSeal):
            ring.open(text, "one")


def test_a_signature_is_of_one_text_and_verified_by_every_key() -> None:
    signature = KeyRing([OLD]).sign("/files/1")
    assert KeyRing([NEW, OLD]).verifies("/files/1", signature)
    assert KeyRing([NEW, OLD]).sign("/files/1") != signature
    for ring, text, given in [
        (KeyRing([OLD]), "/files/2", signature),
        (KeyRing([NEW]), "/files/1", signature),
        (KeyRing([OLD]), "/files/1", signature[:-1]),
        (KeyRing([OLD]), "/files/1", ""),
        (KeyRing([OLD]), "/files/1", "é\ud800"),
        (KeyRing([OLD]), "/files/1", base64.urlsafe_b64encode(hmac.digest(OLD.secret, b"/files/1", "sha256")).decode()),
    ]:
        assert not ring.verifies(text, given)


def test_nothing_shown_of_a_ring_is_secret() -> None:
    key = new_key()
    shown = f"{key!r} {KeyRing([key])!r} {KeyRing([key])}"
    assert key.id in shown
    assert str(key.secret) not in shown and base64.b64encode(key.secret).decode() not in shown


def test_a_setting_names_keys() -> None:
    ring = parse_keys(f"{format_key(NEW)}, {format_key(OLD)},")
    assert ring.current == "new"
    assert ring.open(KeyRing([OLD]).seal(PLAIN, "one"), "one") == PLAIN


SECRET = base64.b64encode(b"s" * SIZE).decode()


@pytest.mark.parametrize(
    "text",
    ["", ",", SECRET, f":{SECRET}", f"a b:{SECRET}", f"a:{SECRET}x", f"a:{SECRET[:-4]}", "a:", f"a:{SECRET},a:{SECRET}",
     f"{'a' * 33}:{SECRET}", f"a:{SECRET};b:{SECRET}", "a:é"],
)  # fmt: skip
def test_keys_that_are_none_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="keys as `connect-inbox keys new`") as refused:
        parse_keys(text)
    assert SECRET[:16] not in str(refused.value) and "\n" not in str(refused.value)


def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "inbox"
    sealed = keys_in(folder).seal(PLAIN, "one")
    assert keys_in(folder).open(sealed, "one") == PLAIN
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert [each.name for each in folder.iterdir()] == [FILE]


def test_of_those_who_start_at_once_one_makes_the_key_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        rings = list(threads.map(keys_in, [tmp_path] * 16))
    assert len({ring.current for ring in rings}) == 1
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


def test_a_key_file_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(f"a:{SECRET}x\n")
    with pytest.raises(KeyFileError) as refused:
        keys_in(tmp_path)
    assert str(tmp_path / FILE) in str(refused.value)
    assert SECRET[:16] not in str(refused.value) and "\n" not in str(refused.value)
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="cannot be used"):
        keys_in(tmp_path / "file")
