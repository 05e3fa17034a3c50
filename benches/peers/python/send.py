"""pywebpush as a sender (../README.md), in its asynchronous form."""

import asyncio
import itertools
import json
import sys

import aiohttp
from py_vapid import Vapid
from pywebpush import webpush_async


async def one_by_one(job, subscriptions, outcome):
    """One call after the other, nothing but what the documentation's example has."""
    for subscription in subscriptions:
        sending = webpush_async(
            subscription,
            data=job["payload"],
            vapid_private_key=job["private_key_file"],
            vapid_claims={"sub": job["contact"]},
            ttl=job["ttl"],
        )
        await count(sending, outcome)


async def best(job, subscriptions, outcome):
    """All that its parameters offer: a session that is kept, and the headers of VAPID made once."""
    claims = {"sub": job["contact"], "aud": job["audience"]}
    headers = Vapid.from_file(job["private_key_file"]).sign(claims)
    rest = iter(subscriptions)

    async def lane(session):
        for subscription in rest:
            sending = webpush_async(
                subscription,
                data=job["payload"],
                headers=headers,
                ttl=job["ttl"],
                aiohttp_session=session,
            )
            await count(sending, outcome)

    connector = aiohttp.TCPConnector(limit=job["in_flight"])
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(lane(session) for _ in range(job["in_flight"])))


async def count(sending, outcome):
    try:
        response = await sending
        if response.status != 201:
            raise RuntimeError(f"answered with {response.status}")
        outcome["accepted"] += 1
    except Exception as error:  # whatever it is, the message did not arrive
        outcome["failed"] += 1
        outcome["first_failure"] = outcome["first_failure"] or repr(error)


WAYS = {"one-by-one": one_by_one, "best": best}


def main(job_file, way):
    with open(job_file, encoding="utf-8") as file:
        job = json.load(file)
    with open(job["subscriptions"], encoding="utf-8") as file:
        lines = itertools.islice(file, job["count"])
        subscriptions = [json.loads(line) for line in lines]
    outcome = {"accepted": 0, "failed": 0, "first_failure": None}
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(WAYS[way](job, subscriptions, outcome))
    print(json.dumps(outcome), flush=True)
    # Stays until somebody has looked.
    sys.stdin.read()


main(*sys.argv[1:])
