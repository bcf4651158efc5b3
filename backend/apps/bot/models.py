"""What people said to the bot."""

from datetime import timedelta

from django.db import models

from apps.jobs.models import Job


class Update(Job):
    """What Telegram told the webhook, as far as we use it: see `apps.bot.updates.Event`.

    It is done when it is answered; one that asks for a recognition waits for that.
    """

    task = "apps.bot.tasks.handle"
    tries = 6
    keep = timedelta(days=7)

    update_id = models.BigIntegerField(unique=True)
    telegram_id = models.BigIntegerField(db_index=True)
    event = models.JSONField()
    # Photos that were sent together come one by one; the first that is handled takes the others.
    album = models.CharField(max_length=64, blank=True)
    taken_by = models.ForeignKey("self", models.CASCADE, null=True, related_name="taken")

    class Meta(Job.Meta):
        indexes = [
            *Job.Meta.indexes,
            models.Index(
                fields=["telegram_id", "album"],
                name="update_album",
                condition=~models.Q(album=""),
            ),
        ]
