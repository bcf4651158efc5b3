from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("indexed", "0001_initial")]
    operations = [
        AddIndexConcurrently("indexed", models.Index(fields=["text"], name="indexed_text")),
    ]
