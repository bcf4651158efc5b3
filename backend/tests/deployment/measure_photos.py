"""What uploads of photos take of the backend's memory, for docs/RUNTIME.md. Needs the engine.

python -m tests.deployment.measure_photos
"""

import os
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import httpx
from PIL import Image

from tests.ai.pictures import encode
from tests.deployment.engine import Stack, login_data, production_values, running_stack

AT_ONCE, TIMES = 6, 24
MEBIBYTE = 1024 * 1024


def noise(width: int, height: int) -> Image.Image:
    """Something like a photo: what is of one colour would take less to decode."""
    small = (width // 16, height // 16)
    pixels = os.urandom(small[0] * small[1] * 3)
    return Image.frombytes("RGB", small, pixels).resize((width, height), Image.Resampling.BILINEAR)


def usage(container: str) -> float:
    """MiB that the container holds and that could not be dropped, by its control group."""
    root = Path("/sys/fs/cgroup")
    (group,) = [
        *root.glob(f"memory/docker/{container}"),
        *root.glob(f"**/docker-{container}.scope"),
    ]
    files = ("memory.current", "memory.usage_in_bytes")
    (held,) = [int((group / name).read_text()) for name in files if (group / name).exists()]
    lines = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
    figures = {name: int(number) for name, number in lines}
    droppable = figures.get("total_inactive_file", figures["inactive_file"])
    return (held - droppable) / MEBIBYTE


def upload(stack: Stack, container: str, data: bytes) -> tuple[float, Counter[int]]:
    """The most that was held meanwhile, and how often which status was answered."""
    most, over = [0.0], Event()

    def watch() -> None:
        while not over.is_set():
            most[0] = max(most[0], usage(container))
            time.sleep(0.005)

    def once(number: int) -> int:
        api = f"{stack.url}/api/v1"
        data_of_login = {"init_data": login_data(900 + number)}
        login = httpx.post(f"{api}/auth/telegram", json=data_of_login, timeout=60)
        headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
        files = {"photo": data}
        return httpx.post(
            f"{api}/recognitions", files=files, headers=headers, timeout=120
        ).status_code

    watching = Thread(target=watch)
    watching.start()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = Counter(pool.map(once, range(TIMES)))
    over.set()
    watching.join()
    return most[0], answers


def main() -> None:
    photos = {
        "JPEG of 12 megapixels": encode(noise(4032, 3024), "JPEG", quality=80),
        "WebP of 22 megapixels": encode(noise(5000, 4384), "WEBP", quality=80, method=0),
        "HEIC of 48 megapixels": encode(noise(8064, 6048), "HEIF", quality=45),
        "20 MB of something else": bytes(20 * MEBIBYTE),
    }
    with (
        tempfile.TemporaryDirectory() as directory,
        running_stack(Path(directory), production_values()) as stack,
    ):
        container = stack.compose("ps", "--quiet", "backend").strip()
        print(f"idle: {usage(container):.0f} MiB")
        for name, data in photos.items():
            most, answers = upload(stack, container, data)
            after = usage(container)
            print(f"{name}: {most:.0f} MiB, afterwards {after:.0f}; answers {dict(answers)}")
        print(stack.run("docker", "inspect", "-f", "restarts: {{.RestartCount}}", container))


if __name__ == "__main__":
    main()
