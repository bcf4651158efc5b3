"""A table whose index is built concurrently, as on one too large to be locked."""

from django.db import models


class Indexed(models.Model):
    text = models.CharField(max_length=16)

    class Meta:
        indexes = [models.Index(fields=["text"], name="indexed_text")]

    def __str__(self) -> str:
        return self.text
