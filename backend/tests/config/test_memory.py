"""The container's memory limit, as cgroup v1 and v2 tell it."""

from pathlib import Path

import pytest

from config.memory import memory_limit

V1, V2 = "sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory.max"


@pytest.mark.parametrize(
    ("name", "text", "limit"),
    [
        (V2, "1610612736\n", 1610612736),
        (V2, "max\n", None),
        (V1, "536870912\n", 536870912),
        (V1, "9223372036854771712\n", None),
        (V1, "nonsense\n", None),
    ],
)
def test_what_the_kernel_says(tmp_path: Path, name: str, text: str, limit: int | None) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(text)
    assert memory_limit(tmp_path) == limit


def test_without_cgroups_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) is None
