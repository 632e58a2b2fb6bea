"""Who works at Contoso and on which devices, from `people.yaml`: the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from ..cases import guid, person

_SID = "S-1-5-21-1004336348-1177238915-682003330-"


@dataclass(frozen=True, slots=True)
class Host:
    """A device; `name` is as Defender writes it, lower case and without the domain."""

    name: str
    fqdn: str
    ip: str
    device_id: str
    device_guid: str


@dataclass(frozen=True, slots=True)
class Person:
    """An account: somebody's, a shared one, or a service's.

    `ip` is the address their office goes out by, `home_ip` the one of their home.
    """

    user: str
    upn: str
    display: str
    title: str
    department: str
    object_id: str
    sid: str
    city: str
    country: str
    ip: str
    asn: str
    home_ip: str
    host: Host


@dataclass(frozen=True, slots=True)
class Company:
    """All accounts and devices.

    `everyone` is in a fixed order, the shared accounts last; `colleagues` are those of them whom
    no incident names.
    """

    everyone: tuple[Person, ...]
    colleagues: tuple[Person, ...]
    accounts: Mapping[str, Person]
    servers: tuple[Host, ...]
    hosts: Mapping[str, Host]


def company(data: Mapping[str, Any], seed: str) -> Company:
    """Build the company from what `people.yaml` holds."""
    rng = random.Random(f"{seed}/people")
    servers = {name: _host(name, ip, data["domain"]) for name, ip in data["servers"].items()}
    numbers = count(1)
    hosts = dict(servers)

    def make(entry: Mapping[str, Any]) -> Person:
        made = _person(data, entry, next(numbers), hosts)
        hosts.setdefault(made.host.name, made.host)
        return made

    named = [make(entry) for entry in data["named"]]
    taken = {each["host"] for each in (*data["named"], *data["also"])}
    more = data["everyone"] - len(named)
    people = [make(entry) for entry in _others(data, more, rng, taken)]
    also = [make(entry) for entry in data["also"]]
    services = [make(entry) for entry in data["services"]]
    everyone = (*named, *people, *also)
    return Company(
        everyone,
        tuple(people),
        {each.user: each for each in (*everyone, *services)},
        tuple(servers.values()),
        hosts,
    )


def _others(
    data: Mapping[str, Any], how_many: int, rng: random.Random, taken: set[str]
) -> Iterator[Mapping[str, Any]]:
    pairs = [(first, last) for first in data["first"] for last in data["last"]]
    offices, departments = list(data["offices"]), list(data["departments"].items())
    for first, last in rng.sample(pairs, how_many):
        department, details = rng.choice(departments)
        names = (f"ws-{details['code']}-{number:02}" for number in count(1))
        host = next(name for name in names if name not in taken)
        taken.add(host)
        yield {
            "user": f"{first}.{last}".lower(),
            "office": rng.choice(offices),
            "department": department,
            "title": rng.choice(details["titles"]),
            "host": host,
        }


def _person(
    data: Mapping[str, Any], entry: Mapping[str, Any], number: int, hosts: Mapping[str, Host]
) -> Person:
    user: str = entry["user"]
    office = data["offices"][entry["office"]]
    ip = entry.get("host_ip", f"10.20.{number // 200}.{number % 200 + 10}")
    who = person(user)
    return Person(
        user=user,
        upn=f"{user}@{data['domain']}",
        display=entry.get("display", who["name"]),
        title=entry["title"],
        department=entry["department"],
        object_id=entry.get("object_id", who["objectId"]),
        sid=entry.get("sid", f"{_SID}{3000 + number}"),
        city=entry["office"],
        country=office["country"],
        ip=office["ip"],
        asn=office["asn"],
        home_ip=f"2001:db8:a:{number:x}::1",
        host=hosts.get(entry["host"]) or _host(entry["host"], ip, data["domain"]),
    )


def _host(name: str, ip: str, domain: str) -> Host:
    identity = guid(f"device/{name}")
    return Host(name, f"{name}.{domain}", ip, identity.replace("-", "") + "00c0ffee", identity)
