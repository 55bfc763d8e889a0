"""Checks a proxy in front of `websocket_server.py`. Argument: the address of the proxy."""

import asyncio
import sys

import websockets

URL = f"ws://{sys.argv[1]}/"


def connect(**options):
    return websockets.connect(URL, max_size=None, **options)


async def echoes():
    for compression in ["deflate", None]:
        async with connect(compression=compression, subprotocols=["chat"]) as socket:
            assert socket.subprotocol == "chat", socket.subprotocol
            for message in ["", "text ß", b"\x00\xff", "x" * (1 << 20), bytes(range(256)) * (1 << 12)]:
                await socket.send(message)
                assert await socket.recv() == message, len(message)
            # A message in fragments.
            await socket.send(part for part in ["a", "b", "c"])
            assert await socket.recv() == "abc"


async def pings():
    async with connect(ping_interval=None) as socket:
        for _ in range(10):
            pong = await socket.ping()
            await asyncio.wait_for(pong, 60)


async def closes():
    async with connect() as socket:
        await socket.send("close")
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (4002, "as asked"), socket.close_code
    async with connect() as socket:
        await socket.close(4001, "enough")
    async with connect() as socket:
        # The server notes the code when it has read the end of the connection.
        while True:
            await socket.send("last")
            if await socket.recv() == "4001":
                break


async def many():
    async def one(number):
        async with connect() as socket:
            for turn in range(20):
                await socket.send(f"{number} {turn}")
                assert await socket.recv() == f"{number} {turn}"

    await asyncio.gather(*(one(number) for number in range(20)))


async def main():
    await echoes()
    await pings()
    await closes()
    await many()
    print("done")


asyncio.run(asyncio.wait_for(main(), 60))
