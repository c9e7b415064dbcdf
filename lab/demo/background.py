"""A load in a thread of its own, so that what is drawn on the screen does not delay it."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from lab.load import Load


class _LoadThread(threading.Thread):
    def __init__(self, load: Load) -> None:
        super().__init__(name="load", daemon=True)
        self.error: BaseException | None = None
        self._load = load
        self._begun = threading.Event()

    def run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass  # it was cut
        except BaseException as error:  # noqa: BLE001 - raised again where somebody hears it
            self.error = error
        finally:
            self._begun.set()

    def cut(self) -> None:
        """End the load now; what is open has failed."""
        self._begun.wait()
        with contextlib.suppress(RuntimeError):  # it has just ended
            self._loop.call_soon_threadsafe(self._task.cancel)
        self.join()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._load.run())
        self._begun.set()
        await self._task


@contextlib.contextmanager
def in_background(load: Load) -> Iterator[threading.Thread]:
    """Run a load for as long as the context lasts; its thread ends by itself with the last answer.

    Raises:
        Exception: What broke the load, when it did not break for a request's sake.
    """
    thread = _LoadThread(load)
    thread.start()
    try:
        yield thread
    finally:
        thread.cut()
    if thread.error is not None:
        raise thread.error
