"""What changes recognitions: requested, recognised, accepted."""

from collections.abc import Callable, Sequence

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.ai.local import LocalProvider
from apps.ai.models import Recognition, RecognizedItem
from apps.ai.photos import attach_photos, keep_pictures, load_pictures
from apps.ai.pictures import Picture
from apps.ai.providers import Provider
from apps.jobs.services import submit_job
from apps.nutrition.models import Meal
from apps.nutrition.services import Portion, create_meal

PROVIDERS: dict[str, type[Provider]] = {LocalProvider.name: LocalProvider}


class NotAcceptable(Exception):
    """The recognition cannot become a meal; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def request_recognition(
    *, user: User, text: str, language: str, pictures: Sequence[Picture] = ()
) -> Recognition:
    """Accept the text and the pictures; a worker on queue `ai` will recognise them.

    Raises PhotoStoreAway.
    """
    photos = keep_pictures(pictures)
    with transaction.atomic():
        recognition = submit_job(job=Recognition(user=user, text=text, language=language))
        attach_photos(recognition=recognition, photos=photos)
    return recognition


def recognize(recognition: Recognition) -> Callable[[], None]:
    """Ask the provider; returns what keeps what it said.

    Raises `jobs.errors.Temporary` and `jobs.errors.Permanent` as the provider does.
    """
    provider = PROVIDERS[settings.AI_PROVIDER]()
    pictures = load_pictures(recognition)
    answer = provider.recognize(
        text=recognition.text,
        language=recognition.language,
        photo=pictures[0] if pictures else None,
    )

    def keep() -> None:
        RecognizedItem.objects.bulk_create(
            RecognizedItem(recognition=recognition, position=position, **vars(item))
            for position, item in enumerate(answer.items)
        )
        Recognition.objects.filter(pk=recognition.pk).update(
            provider=provider.name, notes=answer.notes
        )

    return keep


def accept_recognition(*, recognition: Recognition) -> Meal:
    """Make the recognition a meal eaten now; accepted again, it is the same meal.

    Raises NotAcceptable where it is not done, or there is nothing to count.
    """
    with transaction.atomic():
        locked = Recognition.objects.select_for_update(of=("self",)).get(pk=recognition.pk)
        if locked.meal is not None:
            return locked.meal
        if locked.status != Recognition.Status.DONE:
            raise NotAcceptable("recognition_not_done")
        items = list(locked.items.all())
        if not items:
            raise NotAcceptable("nothing_to_count")
        locked.meal = create_meal(
            user=locked.user,
            eaten_at=timezone.now(),
            portions=[
                Portion(
                    name=item.name,
                    grams=item.grams,
                    energy_kcal=item.energy_kcal,
                    protein_g=item.protein_g,
                    fat_g=item.fat_g,
                    carbohydrate_g=item.carbohydrate_g,
                )
                for item in items
            ],
        )
        locked.save(update_fields=["meal"])
        return locked.meal
