"""Another process over the same file: `python -m tests.store.second_process WHAT PATH NAME`."""

import asyncio
import sys

from bot.local.sqlite import SqliteStore
from bot.ports import Outcome
from tests.store.contract import LEASE, NOW, claim, line, outcome


async def accept(store: SqliteStore, name: str) -> None:
    accepted = [await store.accept(claim(f"key {n}", f"chat {n % 7}")) for n in range(500)]
    print(sum(accepted))


async def drain(store: SqliteStore, name: str) -> None:
    worked = 0
    while await store.backlog():
        for conversation in await store.waiting(NOW, LEASE):
            taken = await store.take(conversation, name, NOW, LEASE)
            if taken is not None:
                seen = Outcome(taken.key, {}, audit=(line(f"{conversation}/{taken.key}"),))
                assert await store.commit(seen, name)
                assert await store.finish(taken.key, name, NOW)
                worked += 1
    print(worked)


async def endlessly(store: SqliteStore, name: str) -> None:
    number = 0
    while True:
        key = f"{name} {number}"
        await store.accept(claim(key, key))
        await store.take(key, name, NOW, LEASE)
        await store.commit(outcome(key), name)
        await store.finish(key, name, NOW)
        number += 1
        print(number, flush=True)


async def main(what: str, path: str, name: str) -> None:
    store = SqliteStore(path)
    await store.open()
    await {"accept": accept, "drain": drain, "endlessly": endlessly}[what](store, name)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
