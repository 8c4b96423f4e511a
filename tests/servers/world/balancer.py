"""A TCP balancer on loopback: the address that stands before all apiservers.

Like a network load balancer it passes new connections to healthy targets only, round robin, and
keeps the old ones: those of a target end when `drop` says so, or when the target goes away.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable

from .processes import free_port

# The targets that take new connections: their names and ports.
Targets = Callable[[], list[tuple[str, int]]]


class Balancer:
    """Runs in a thread of its own."""

    def __init__(self, targets: Targets) -> None:
        # Bound here, so that an error is one of who starts it.
        self._listener = socket.create_server(("127.0.0.1", free_port()), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._targets = targets
        self._turn = itertools.count()
        self._open: dict[str, set[asyncio.StreamWriter]] = {}
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="balancer", daemon=True).start()

    def drop(self, name: str) -> None:
        """Ends the connections of a target."""

        def close() -> None:
            for writer in self._open.pop(name, set()):
                writer.close()

        self._loop.call_soon_threadsafe(close)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        serve = asyncio.start_server(self._connection, sock=self._listener)
        self._loop.run_until_complete(serve)
        self._loop.run_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        targets = self._targets()
        start = next(self._turn)
        for offset in range(len(targets)):
            name, port = targets[(start + offset) % len(targets)]
            try:
                there = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            await self._pass_on(name, (reader, writer), there)
            return
        writer.close()

    async def _pass_on(
        self,
        name: str,
        here: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        there: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        writers = {here[1], there[1]}
        self._open.setdefault(name, set()).update(writers)
        try:
            # The first side that ends, ends both: HTTP needs no half-closed connections.
            tasks = [
                asyncio.ensure_future(_copy(here[0], there[1])),
                asyncio.ensure_future(_copy(there[0], here[1])),
            ]
            _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
        finally:
            for writer in writers:
                writer.close()
            self._open.get(name, set()).difference_update(writers)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
