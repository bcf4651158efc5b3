"""What the operator's scripts found out, for the console to show."""

from django.db import models


class Report(models.Model):
    """The outcome of one run of a script, told by the script itself."""

    name = models.CharField(max_length=64)
    ok = models.BooleanField()
    detail = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name}: {'ok' if self.ok else 'failed'}"
