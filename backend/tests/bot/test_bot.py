"""The product inside the chat, through the webhook, real workers and Telegram's stand-in."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.ai.models import Recognition, RecognizedItem
from apps.bot.models import Update
from apps.bot.tasks import handle
from apps.jobs.broker import listen_again
from apps.jobs.sweep import sweep
from apps.messaging.models import ClosedChat, Message
from apps.nutrition.models import Food, FoodName, Meal
from apps.nutrition.services.targets import set_targets
from tests.ai.pictures import encode, plate
from tests.bot.chat import HEADERS, SECRET, Person, buttons
from tests.messaging.outside import calls, order_fault
from tests.processes import Process, StartWorker, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def _webhook(settings: Any, sandbox: str) -> None:
    settings.TELEGRAM_BOT_API_SECRET = SECRET
    settings.TELEGRAM_API_URL = f"{sandbox}/telegram"
    listen_again()


@pytest.fixture
def foods_here() -> None:
    """Rice, which is weighed, and apples and eggs, which are counted; the whole table is large."""
    for name, energy, each in (("rice", 130, None), ("apple", 52, 180), ("egg", 155, 50)):
        food = Food.objects.create(
            source_id=name,
            name=name,
            title_en=name.title(),
            energy_kcal=energy,
            protein_g=2,
            fat_g=1,
            carbohydrate_g=20,
            grams_each=each,
        )
        FoodName.objects.create(language="en", name=name, food=food)
        FoodName.objects.create(language="en", name=f"{name}s", food=food)


@pytest.fixture
def worker(start_worker: StartWorker, foods_here: None) -> Process:
    return start_worker()


@pytest.fixture
def ann(sandbox: str) -> Person:
    return Person(501, "en-GB", sandbox)


def hears(person: Person, number: int) -> list[dict[str, Any]]:
    """What the person has heard once it is so many messages, and everything is settled."""

    def heard() -> list[dict[str, Any]] | None:
        sweep()
        messages = person.heard()
        return messages if len(messages) >= number and settled() else None

    messages: list[dict[str, Any]] = wait_for(heard, f"{number} messages", PATIENCE)
    assert len(messages) == number, messages
    return messages


def settled() -> bool:
    return not any(
        model.objects.filter(status__in=model.OPEN).exists()
        for model in (Update, Message, Recognition)
    )


def test_a_line_of_text_becomes_a_meal_that_today_shows(worker: Process, ann: Person) -> None:
    ann.says("/start")
    (hello,) = hears(ann, 1)
    assert "Ann" in hello["text"]
    assert buttons(hello) == {"Open EatFit24": "https://eatfit24.example/app"}
    user = User.objects.get()
    assert (user.telegram_id, user.language) == (501, "en")

    ann.says("2 eggs and 150 g rice")
    found = hears(ann, 2)[-1]
    assert "rice" in found["text"].lower()
    assert "195 kcal" in found["text"]
    pressing = buttons(found)
    assert list(pressing) == ["Add to the diary", "Not this"]
    assert not Meal.objects.exists(), "not before it is accepted"

    ann.presses(pressing["Add to the diary"], found["message_id"])
    added = hears(ann, 3)[-1]
    assert added["text"].startswith("Added to the diary.")
    meal = Meal.objects.get()
    assert meal.user == user
    ann.presses(pressing["Add to the diary"])
    ann.presses(pressing["Not this"])
    ann.says("/today")
    told = hears(ann, 5)
    assert Meal.objects.get() == meal, "once, however often it is pressed"
    assert {told[-1]["text"], told[-2]["text"]} >= {"It is in the diary already."}
    (today,) = [message["text"] for message in told[3:] if "Today:" in message["text"]]
    assert added["text"].partition("\n\n")[2] == today


def test_everybody_is_greeted_in_their_language(worker: Process, sandbox: str) -> None:
    for telegram_id, language, hello, button in (
        (502, "ru", "Здравствуйте, Ann!", "Открыть EatFit24"),
        (503, "en-GB", "Hello, Ann!", "Open EatFit24"),
        (504, "de", "Здравствуйте, Ann!", "Открыть EatFit24"),
    ):
        person = Person(telegram_id, language, sandbox)
        person.says("/start")
        (greeting,) = hears(person, 1)
        assert greeting["text"].startswith(hello)
        assert buttons(greeting) == {button: "https://eatfit24.example/app"}
        (row,) = greeting["reply_markup"]["inline_keyboard"]
        assert [set(one) for one in row] == [{"text", "web_app"}]


def test_a_meal_that_was_not_meant_is_not_added(worker: Process, ann: Person) -> None:
    ann.says("an apple")
    (found,) = hears(ann, 1)
    ann.presses(buttons(found)["Not this"], found["message_id"])
    assert hears(ann, 2)[-1]["text"] == "Not added."
    assert not Meal.objects.exists()
    acknowledged = {call["path"].rpartition("/")[2] for call in calls(ann.sandbox)}
    assert acknowledged >= {"answerCallbackQuery", "editMessageReplyMarkup"}


def test_everything_else_is_answered_by_a_sentence(
    worker: Process, ann: Person, sandbox: str
) -> None:
    from tests.bot.chat import post

    boris = Person(502, "ru", sandbox)
    boris.says("/unknown")
    assert hears(boris, 1)[0]["text"].startswith("Пришлите фото")
    for number, message in enumerate(
        [
            {"sticker": {"file_id": "x"}},
            {"photo": [{"file_id": "x", "width": 1, "height": 1, "file_size": 2 * 10**7}]},
            {"text": "soup " * 500},
            {"text": "/today"},
            {"text": "qwertyuiop"},
        ],
        1,
    ):
        post(ann.update(**message))
        hears(ann, number)
    voice, picture, long, today, nothing = [message["text"] for message in ann.heard()]
    assert voice.startswith("I understand photos and words.")
    assert picture.startswith("This picture is too large")
    assert long.startswith("This is too long")
    assert today.startswith("Nothing has been counted today.")
    assert nothing
    assert "reply_markup" not in ann.heard()[-1], "nothing to add"


def test_buttons_of_others_and_of_nobody_do_nothing(
    worker: Process, ann: Person, sandbox: str
) -> None:
    ann.says("an apple")
    (found,) = hears(ann, 1)
    boris = Person(502, "en", sandbox)
    for data in (buttons(found)["Add to the diary"], "accept:nonsense", "", "other:1", "accept:"):
        boris.presses(data)
    wait_for(settled, "all handled", PATIENCE)
    assert boris.heard() == []
    assert not Meal.objects.exists()
    texts = [call["body"].get("text") for call in calls(sandbox) if "Callback" in call["path"]]
    assert texts == ["This button does nothing any more."] * 5


def test_who_had_blocked_the_bot_hears_from_it_again_once_they_write(
    worker: Process, ann: Person
) -> None:
    ClosedChat.objects.create(chat_id=ann.id, reason="blocked")
    ann.says("/start")
    hears(ann, 1)
    assert not ClosedChat.objects.exists()


def test_who_is_not_active_is_not_answered(worker: Process, ann: Person) -> None:
    User.objects.create(telegram_id=ann.id, is_active=False)
    ann.says("/start")
    ann.says("an apple")
    wait_for(settled, "all handled", PATIENCE)
    assert not Message.objects.exists()
    assert not Recognition.objects.exists()


def test_what_may_not_be_asked_is_refused_in_the_words_of_the_page(
    start_worker: StartWorker, ann: Person
) -> None:
    """Nobody recognises here, so that after some meals no more may be under way."""
    start_worker("default")
    for number in range(5):
        ann.says(f"{number} apples")
    told = hears_while_open(ann, 2)
    assert {message["text"] for message in told} == {
        "Your other meals are still being recognised. Please wait until one of them is ready."
    }
    assert Recognition.objects.count() == 3


def hears_while_open(person: Person, number: int) -> list[dict[str, Any]]:
    """As `hears`, though recognitions are still open."""

    def heard() -> list[dict[str, Any]] | None:
        sweep()
        open_updates = Update.objects.filter(
            status__in=Update.OPEN, error_code__in=("", "internal_error")
        ).exists()
        open_messages = Message.objects.filter(status__in=Message.OPEN).exists()
        messages = person.heard()
        return messages if not open_updates and not open_messages and messages else None

    messages: list[dict[str, Any]] = wait_for(heard, f"{number} messages", PATIENCE)
    assert len(messages) == number, messages
    return messages


def test_a_recognition_that_fails_is_told_and_one_that_was_cancelled_is_not(
    start_worker: StartWorker, ann: Person
) -> None:
    from apps.ai.services import cancel_recognition

    start_worker("default")
    ann.says("an apple")
    ann.says("a pear")
    waiting = Update.objects.filter(status="pending", error_code="recognition_open")
    wait_for(lambda: waiting.count() == 2, "both are waited for", PATIENCE)
    first, second = Recognition.objects.order_by("created_at")
    cancel_recognition(recognition=first)
    die(second)
    (told,) = hears(ann, 1)
    assert told["text"].startswith("The meal was not recognised.")


def die(recognition: Recognition) -> None:
    """As if its worker had died for the last time."""
    from apps.ai.tasks import recognize

    Recognition.objects.filter(pk=recognition.pk).update(
        status="running", attempts=recognition.max_attempts, lease_until="2026-01-01T00:00Z"
    )
    recognize(str(recognition.pk))


def test_a_telegram_that_is_away_for_a_while_gets_the_answer_later(
    worker: Process, ann: Person
) -> None:
    order_fault(ann.sandbox, "status", status=502, html="<h1>Bad Gateway</h1>", times=2)
    ann.says("an apple")
    (found,) = hears(ann, 1)
    assert "Add to the diary" in buttons(found)


def test_a_worker_that_dies_between_asking_and_answering_changes_nothing(
    ann: Person, start_worker: StartWorker, foods_here: None
) -> None:
    ann.says("an apple")
    update = Update.objects.get()
    handle(str(update.pk))
    assert Recognition.objects.count() == 1
    Update.objects.update(status="running", lease_until=Now() - timedelta(minutes=1))
    start_worker()
    (found,) = hears(ann, 1)
    assert "Add to the diary" in buttons(found)
    assert Recognition.objects.count() == Message.objects.count() == 1


def test_an_update_that_fails_is_apologised_for(ann: Person, worker: Process) -> None:
    ann.says("/start")
    hears(ann, 1)
    ann.says("/today")
    update = Update.objects.latest("created_at")
    past = datetime.now(UTC) - timedelta(minutes=1)
    wait_for(settled, "handled", PATIENCE)
    Update.objects.filter(pk=update.pk).update(
        status="running", attempts=99, lease_until=past, finished_at=None
    )
    handle(str(update.pk))
    texts = [message["text"] for message in hears(ann, 3)]
    assert "Something went wrong on our side." in texts[-1]


@pytest.fixture
def seeing(start_worker: StartWorker, sandbox: str) -> Process:
    """A worker whose model sees pictures."""
    return start_worker(
        AI_PROVIDER="openrouter",
        OPENROUTER_BASE_URL=f"{sandbox}/openrouter/api/v1",
        OPENROUTER_API_KEY="sk-or-very-secret",
    )


def picture(number: int = 0) -> bytes:
    """Another one for each number."""
    return encode(plate(320 + 2 * number, 240), "JPEG")


def seen(sandbox: str) -> list[int]:
    """How many pictures the model was shown, call by call."""
    entries = httpx.get(f"{sandbox}/_log", params={"service": "openrouter"}, timeout=10).json()
    return [
        sum(part["type"] == "image_url" for part in message["content"])
        for entry in entries["entries"]
        for message in entry["body"]["messages"][-1:]
    ]


def test_a_photo_becomes_a_meal_that_today_shows(seeing: Process, ann: Person) -> None:
    ann.sends_photo(picture(), caption="lunch")
    (found,) = hears(ann, 1)
    assert seen(ann.sandbox) == [1]
    items = RecognizedItem.objects.all()
    assert items
    assert all(item.name in found["text"] for item in items)
    set_targets(
        user=User.objects.get(),
        energy_kcal=Decimal(2000),
        protein_g=Decimal(110),
        fat_g=Decimal(70),
        carbohydrate_g=Decimal(230),
    )
    ann.presses(buttons(found)["Add to the diary"], found["message_id"])
    added = hears(ann, 2)[-1]["text"]
    ann.says("/today")
    today = hears(ann, 3)[-1]["text"]
    assert added == f"Added to the diary.\n\n{today}"
    assert all(item.name in today for item in Meal.objects.get().items.all())
    targets = "Your targets: 2000 kcal, protein 110 g, fat 70 g, carbohydrates 230 g"
    assert today.endswith(targets)


def test_photos_of_one_album_are_one_meal(seeing: Process, ann: Person) -> None:
    """Even if they come in another order, and one of them after the others were taken."""
    for number in range(2):
        ann.sends_photo(picture(number), media_group_id="77")
    hears(ann, 1)
    assert seen(ann.sandbox) == [2]
    late = Person(ann.id, "en", ann.sandbox)
    late.sends_photo(picture(9), media_group_id="77")
    hears(ann, 2)
    assert seen(ann.sandbox) == [2, 1]
    other = Person(502, "en", ann.sandbox)
    for number in range(5):
        other.sends_photo(picture(number), media_group_id="77")
    (refused,) = hears(other, 1)
    assert "at most four" in refused["text"]
    assert seen(ann.sandbox) == [2, 1]


def test_a_photo_that_is_none_is_said_to_be_and_one_that_is_late_is_waited_for(
    seeing: Process, ann: Person
) -> None:
    ann.sends_photo(b"GIF89a is not what it is")
    (refused,) = hears(ann, 1)
    assert "reply_markup" not in refused
    order_fault(ann.sandbox, "status", status=500)
    ann.sends_photo(picture())
    assert "Add to the diary" in buttons(hears(ann, 2)[-1])
    assert Recognition.objects.count() == 1


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    def run() -> str:
        call_command("set_webhook")
        return capsys.readouterr().out

    return run


def test_the_webhook_is_registered_with_its_secret(
    command: Callable[[], str], sandbox: str, settings: Any
) -> None:
    assert "webhook: https://eatfit24.example/bot/webhook" in command()
    body = calls(sandbox)[0]["body"]
    assert body["secret_token"] == HEADERS["X-Telegram-Bot-Api-Secret-Token"]
    assert body["allowed_updates"] == ["message", "callback_query"]
    order_fault(sandbox, "refusal", status=401, description="Unauthorized")
    with pytest.raises(CommandError, match="401: Unauthorized"):
        command()
    settings.TELEGRAM_BOT_API_SECRET = ""
    with pytest.raises(CommandError, match="TELEGRAM_BOT_API_SECRET"):
        command()
