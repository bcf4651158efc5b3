from django.db import migrations

# Zones that PostgreSQL does not know keep the default; none that a browser names is among them.
DATE_MEALS = """
UPDATE nutrition_meal
SET time_zone = eater.time_zone, date = (eaten_at AT TIME ZONE eater.time_zone)::date
FROM accounts_user AS eater
WHERE eater.id = user_id AND eater.time_zone IN (SELECT name FROM pg_timezone_names)
"""


class Migration(migrations.Migration):
    """Meals that were written without their day get the one of their eater's zone."""

    dependencies = [("nutrition", "0002_search_days_targets")]

    operations = [migrations.RunSQL(DATE_MEALS, migrations.RunSQL.noop)]
