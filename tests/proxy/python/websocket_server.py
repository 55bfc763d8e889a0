"""A WebSocket server that sends messages back. It ends with its input.

The message "close" makes it close the connection with a code. It answers "last" with the code of the connection that
has ended last.
"""

import asyncio
import sys

import websockets

last = None


async def echo(socket, _path=None):
    global last
    try:
        async for message in socket:
            if message == "close":
                await socket.close(4002, "as asked")
            elif message == "last":
                await socket.send(str(last))
            else:
                await socket.send(message)
    except websockets.ConnectionClosed:
        pass
    finally:
        last = socket.close_code


async def main():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, subprotocols=["chat"]) as server:
        print("port", server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
