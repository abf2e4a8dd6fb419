"""An echo of WebSocket messages on the unix socket that is its argument."""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, unix_serve


async def echo(connection: ServerConnection) -> None:
    """Send every message back."""
    async for message in connection:
        await connection.send(message)


async def main(path: str) -> None:
    """Listen until the process is killed."""
    async with unix_serve(echo, path, max_size=None) as listening:
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
