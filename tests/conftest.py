"""What every test shares: nothing may block the event loop; who waits begins first."""

import sys
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

# Where `import jsonschema` finds this one it builds forty grammars, three seconds' work in each
# worker, for formats that no test asks for.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

# They start processes and wait in real time: at the end of a run they would leave the cores idle.
WAITING = ("test_crash.py", "test_process.py", "test_doctor.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in WAITING)


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    with blockbuster_ctx(["bot", "dialogs", "prompts"]) as detector:
        # Coverage locks its own data when threads are traced; stopped there, it never lets go.
        detector.functions["threading.Lock.acquire"].can_block_in(
            "coverage/collector.py", "lock_data"
        )
        yield detector
