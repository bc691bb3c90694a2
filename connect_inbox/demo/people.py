"""The influencers of the demo: made up, and the same in every run."""

from __future__ import annotations

import unicodedata
from random import Random

from schema.types.influencer import Handle, Network
from storage.influencers import NewInfluencer

FIRST = [
    "Zoë", "Mateus", "Aylin", "Søren", "Priya", "Łukasz", "Chiara", "Kwame", "Noémie", "Haruto", "Ingrid", "Tomás",
    "Leila", "Oisín", "Marta", "Dmitri", "Yara", "Björn", "Camille", "Thandiwe", "Jakub", "Elif", "Mei", "Rafael",
    "Saoirse", "Anders", "Nadia", "Viktor", "Amara", "Joonas",
]  # fmt: skip
LAST = [
    "Hartmann", "Oliveira", "Yılmaz", "Kjær", "Raman", "Wójcik", "Bellini", "Mensah", "Lefèvre", "Tanaka", "Nygård",
    "Ibáñez", "Haddad", "Brennan", "Kovač", "Sokolov", "Nasser", "Lindström", "Moreau", "Dlamini", "Černý", "Demir",
    "Zhang", "Carvalho", "Byrne", "Haugen", "Petrova", "Strand", "Okafor", "Virtanen", "Quinn",
]  # fmt: skip
TOPICS = ["outdoors", "hikes", "runs", "climbs", "onfoot", "camps", "paddles", "wild", "offgrid", "peaks"]
SIZES = ["XS", "S", "M", "L", "XL"]
NETWORKS = [Network.INSTAGRAM, Network.TIKTOK, Network.YOUTUBE, Network.X, Network.TWITCH, Network.PINTEREST]


def plain(name: str) -> str:
    """A name in lower-case ASCII letters, as it stands in a handle."""
    name = name.translate(str.maketrans("łøæıßŁØ", "loaisLO"))
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in decomposed if letter.isascii() and letter.isalpha())


def has_account(index: int) -> bool:
    return index % 3 != 2


def has_email(index: int) -> bool:
    return index % 4 != 3


def make_people(count: int, tags: list[str], variables: dict[str, str], random: Random) -> list[NewInfluencer]:
    """So many influencers, each with another name: with and without a platform account and an e-mail address."""
    return [make_person(index, tags, variables, random) for index in range(count)]


def make_person(index: int, tags: list[str], variables: dict[str, str], random: Random) -> NewInfluencer:
    first, last = FIRST[index % len(FIRST)], LAST[index % len(LAST)]  # their numbers have no common divisor
    again = index // (len(FIRST) * len(LAST))
    number = str(again + 1) if again else ""
    slug = f"{plain(first)}.{plain(last)}{number}"
    return NewInfluencer(
        name=f"{first} {last}{' ' * bool(number)}{number}",
        handles=make_handles(index, slug, random),
        emails=make_emails(slug, random) if has_email(index) else [],
        external_id=f"crm-{10_000 + index}" if index % 2 == 0 else None,
        avatar_url=f"https://avatars.example.com/{slug}.jpg" if index % 5 != 4 else None,
        has_account=has_account(index),
        tag_ids=random.sample(tags, min(len(tags), random.choice([0, 1, 1, 2, 3]))),
        values=make_values(variables, slug, random),
    )


def make_handles(index: int, slug: str, random: Random) -> list[Handle]:
    handles = [Handle(network=Network.PLATFORM, name=slug)] if has_account(index) else []
    for network in random.sample(NETWORKS, random.choice([1, 1, 2, 2, 3])):
        handles.append(Handle(network=network, name=f"{slug.replace('.', '_')}_{random.choice(TOPICS)}"))
    return handles


def make_emails(slug: str, random: Random) -> list[str]:
    emails = [f"{slug}@mail.example.com"]
    if random.random() < 0.2:
        emails.append(f"hello@{slug.replace('.', '-')}.example.org")
    return emails


def make_values(variables: dict[str, str], slug: str, random: Random) -> dict[str, str]:
    """Values of some of the custom variables, whose ids are given by name."""
    day = f"{random.randint(1978, 2004)}-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}"
    known = {
        "Followers": str(random.randint(8, 900) * 1000),
        "Jacket size": random.choice(SIZES),
        "Birthday": day,
        "Newsletter": random.choice(["true", "false"]),
        "Media kit": f"https://kits.example.com/{slug}",
    }
    return {variables[name]: value for name, value in known.items() if name in variables and random.random() < 0.7}
