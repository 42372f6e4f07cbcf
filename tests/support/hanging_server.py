"""A server that accepts every connection and never answers. `python hanging_server.py` prints its port and ends with its stdin."""

import asyncio
import resource
import sys


class Hanging(asyncio.Protocol):
    """Reads whatever arrives; neither answers nor closes."""

    def eof_received(self):
        return True


async def main():
    server = await asyncio.get_running_loop().create_server(Hanging, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main())
