"""What every test shares: nothing may block the event loop."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    with blockbuster_ctx(["bot", "dialogs", "prompts"]) as detector:
        # Coverage locks its own data when threads are traced; stopped there, it never lets go.
        detector.functions["threading.Lock.acquire"].can_block_in(
            "coverage/collector.py", "lock_data"
        )
        yield detector
