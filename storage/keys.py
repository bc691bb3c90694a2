"""The keys that secrets are sealed with at rest, and addresses are signed with.

A ring holds one or several keys. The first one seals, all of them open and verify, so that a key can be replaced: put a
new one in front, seal anew what is stored, take the old one away.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FILE = "secret.keys"
SIZE = 32  # bytes of a key
NONCE_SIZE = 12
WANTED = (
    "keys as `connect-inbox keys new` prints them, separated by commas: "
    "an id of at most 32 letters, digits, - and _, then a colon and 32 bytes in base64"
)
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class WrongSeal(Exception):
    """A sealed text was changed, is bound to something else, or was sealed with a key that is not in the ring."""


class KeyFileError(Exception):
    """The key file cannot be read or made. The message says why, in one line, without a word of what is in it."""


@dataclass(frozen=True)
class Key:
    id: str
    secret: bytes = field(repr=False)


class KeyRing:
    """Seals and opens, signs and verifies. What is derived from a key for the one is no use for the other."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.current = keys[0].id
        self._ciphers = {key.id: AESGCM(derived(key, "seal")) for key in keys}
        self._signers = [derived(key, "sign") for key in keys]

    @classmethod
    def random(cls) -> KeyRing:
        """A ring that nobody else has, for a store that keeps no secret longer than it is open."""
        return cls([new_key()])

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._ciphers)})"

    def seal(self, plain: bytes, bound_to: str) -> str:
        """Encrypts. It opens only with the same `bound_to`, which says whose and what it is."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        sealed = nonce + self._ciphers[self.current].encrypt(nonce, plain, bound_to.encode())
        return f"{self.current}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, bound_to: str) -> bytes:
        """Raises WrongSeal."""
        id, _, text = sealed.partition(".")
        cipher = self._ciphers.get(id)
        if cipher is None:
            raise WrongSeal(f"it was sealed with the key {id[:32]!r}, which is not among ours")
        try:
            content = base64.urlsafe_b64decode(text)
            return cipher.decrypt(content[:NONCE_SIZE], content[NONCE_SIZE:], bound_to.encode())
        except (InvalidTag, ValueError):
            raise WrongSeal("it was changed, or belongs to something else") from None

    def is_current(self, sealed: str) -> bool:
        """Whether it was sealed with the first key."""
        return sealed.partition(".")[0] == self.current

    def sign(self, text: str) -> str:
        return signature_of(self._signers[0], text)

    def verifies(self, text: str, signature: str) -> bool:
        """Whether one of the keys made this signature of the text. It takes the same time whichever it is."""
        given = signature.encode("utf-8", "replace")
        matches = [hmac.compare_digest(signature_of(each, text).encode(), given) for each in self._signers]
        return any(matches)


def derived(key: Key, purpose: str) -> bytes:
    """A key for one purpose alone."""
    return HKDF(SHA256(), SIZE, salt=None, info=f"connect-inbox {purpose}".encode()).derive(key.secret)


def signature_of(signer: bytes, text: str) -> str:
    digest = hmac.digest(signer, text.encode("utf-8", "replace"), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def new_key() -> Key:
    return Key(f"k{secrets.token_hex(4)}", secrets.token_bytes(SIZE))


def format_key(key: Key) -> str:
    return f"{key.id}:{base64.b64encode(key.secret).decode()}"


def parse_keys(text: str) -> KeyRing:
    """The ring that a setting or a key file names. Raises ValueError, which says what is wanted."""
    keys = [parse_key(each.strip()) for each in re.split(r"[,\n]", text) if each.strip()]
    if not keys or len({key.id for key in keys}) < len(keys):
        raise ValueError(WANTED)
    return KeyRing(keys)


def parse_key(text: str) -> Key:
    id, _, secret = text.partition(":")
    try:
        content = base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not _ID.fullmatch(id) or len(content) != SIZE:
        raise ValueError(WANTED)
    return Key(id, content)


def keys_in(folder: Path) -> KeyRing:
    """The ring in the folder's key file, which is made with a new key where there is none. Raises KeyFileError."""
    path = folder / FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            make_file(path)
        return parse_keys(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KeyFileError(f"the key file {path} cannot be used: {error.strerror}") from error
    except ValueError:
        raise KeyFileError(f"the key file {path} must hold {WANTED}") from None


def make_file(path: Path) -> None:
    """Makes the key file, whole or not at all. Of several processes that do so at once, one makes it for all."""
    own = path.with_name(f"{FILE}.{secrets.token_hex(4)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{format_key(new_key())}\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(own, path)
    except FileExistsError:
        pass
    finally:
        own.unlink()
