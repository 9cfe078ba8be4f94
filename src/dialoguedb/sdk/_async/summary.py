"""A summary, as a client holds it."""

from dialoguedb.errors import SummaryFailed, TimedOut
from dialoguedb.models import summaries
from dialoguedb.runtime import monotonic_s
from dialoguedb.sdk._async.sending import AsyncSender, pause
from dialoguedb.sdk.summaries import SummaryRecord

#: The first wait between two looks at a summary that is being made; each is longer by half.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.02, 2.0


class AsyncSummary(SummaryRecord):
    """What a dialogue, or a range of its messages, comes to. It is made in the background."""

    __slots__ = ("_sender",)

    def __init__(self, sender: AsyncSender, data: summaries.Summary) -> None:
        self._sender = sender
        self._data = data

    async def refresh(self) -> "AsyncSummary":
        """Read it again.

        Raises:
            SummaryNotFound: it has been deleted.
        """
        self._data = await self._sender.send("summaries.get", id=self.id, namespace=self.namespace)
        return self

    async def wait(self, timeout_s: float = 300.0) -> "AsyncSummary":
        """Wait until it is made.

        Args:
            timeout_s: seconds, from 0.
        Raises:
            SummaryFailed: it could not be made; the message says why.
            TimedOut: it takes longer. It is still being made, and can be waited for again.
            SummaryNotFound: it has been deleted.
        """
        until_s, wait_s = monotonic_s() + timeout_s, _FIRST_WAIT_S
        while self.status == summaries.PROCESSING:
            left_s = until_s - monotonic_s()
            if left_s <= 0:
                raise TimedOut(
                    f"Summary '{self.id}' is not made yet; wait() for it again, or see whether a "
                    "server or `dialoguedb work` is running"
                )
            await pause(min(wait_s, left_s))
            wait_s = min(1.5 * wait_s, _LONGEST_WAIT_S)
            await self.refresh()
        if self.status == summaries.FAILED:
            failure = SummaryFailed(f"Summary '{self.id}' has failed: {self.error}")
            failure.summary_id = self.id
            raise failure
        return self

    async def remove(self) -> None:
        """Delete the summary, for good; the messages stay.

        Raises:
            SummaryNotFound: it has been deleted before.
        """
        await self._sender.send("summaries.delete", id=self.id, namespace=self.namespace)
