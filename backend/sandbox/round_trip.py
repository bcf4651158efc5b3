"""The product in one breath, over HTTP: a line of text becomes a meal that the diary counts."""

import time
from datetime import datetime
from random import randint
from typing import Any
from zoneinfo import ZoneInfo

import httpx

TEXT = "2 eggs, {some} g rice, a banana and {more} g rice"
RICE_GRAMS = 150
PATIENCE_SECONDS = 30.0


class RoundTripFailed(Exception):
    """Which step did not do what it should."""


def eat(url: str, *, init_data: str | None = None) -> dict[str, float]:
    """Log in, have a text recognised, accept it; returns the day's totals.

    The same food is said in new words, since what is known is answered without a worker. Logs in
    with `init_data`, or by the development login. Raises RoundTripFailed.
    """
    with httpx.Client(
        base_url=f"{url}/api/v1", timeout=10, trust_env=False, headers={"Accept-Language": "en"}
    ) as http:
        if init_data is None:
            login = _expect(200, http.post("/auth/development", json={"telegram_id": 1}))
        else:
            login = _expect(200, http.post("/auth/telegram", json={"init_data": init_data}))
        http.headers["Authorization"] = f"Bearer {login['access_token']}"
        some = randint(1, RICE_GRAMS - 1)
        text = TEXT.format(some=some, more=RICE_GRAMS - some)
        asked = _expect(202, http.post("/recognitions", json={"text": text}))
        found = _wait(http, asked["id"])
        meal = _expect(201, http.post(f"/recognitions/{found['id']}/accept"))
        again = _expect(201, http.post(f"/recognitions/{found['id']}/accept"))
        if again["id"] != meal["id"]:
            raise RoundTripFailed("accepting twice made two meals")
        # The day is that of the user's zone, which is the default one.
        day = datetime.fromisoformat(meal["eaten_at"]).astimezone(ZoneInfo("Europe/Moscow")).date()
        diary = _expect(200, http.get(f"/diary/{day}"))
    wanted = round(sum(item["energy_kcal"] for item in found["items"]), 2)
    counted = {entry["id"]: entry["totals"]["energy_kcal"] for entry in diary["meals"]}
    if not wanted or counted.get(meal["id"]) != wanted:
        raise RoundTripFailed(f"the meal has {wanted} kcal, the diary counts {counted}")
    if round(sum(counted.values()), 2) != diary["totals"]["energy_kcal"]:
        raise RoundTripFailed("the day is not the sum of its meals")
    totals: dict[str, float] = diary["totals"]
    return totals


def _wait(http: httpx.Client, recognition: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = _expect(200, http.get(f"/recognitions/{recognition}"))
        if found["status"] == "done":
            return found
        if found["status"] == "failed":
            raise RoundTripFailed(f"the recognition failed: {found['error']}")
        time.sleep(0.05)
    raise RoundTripFailed(f"the recognition was not done within {PATIENCE_SECONDS:g} s")


def _expect(status: int, response: httpx.Response) -> dict[str, Any]:
    if response.status_code != status:
        raise RoundTripFailed(
            f"{response.request.method} {response.request.url.path} answered "
            f"{response.status_code}: {response.text[:300]}"
        )
    body: dict[str, Any] = response.json()
    return body
