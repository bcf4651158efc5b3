"""How long a backup and a restore of 1 GB take, for docs/BACKUP_AND_RECOVERY.md. Needs the engine.

python -m tests.deployment.measure_restore
"""

import tempfile
import time
from pathlib import Path

from tests.deployment.engine import Stack, new_key, production_values, running_stack

SIZE = 1024**3
EATERS = """
INSERT INTO accounts_user (telegram_id, first_name, language, time_zone, is_superuser, password,
                           is_staff, is_active, goal, created_at)
SELECT 1000000 + n, 'Anna', 'ru', 'Europe/Moscow', false, '!', false, true, 'keep', now()
FROM generate_series(1, 2000) n
"""
# 100,000 meals of three lines each; numbers as they come, so that they compress as real ones do.
MEALS = """
WITH meals AS (
  INSERT INTO nutrition_meal (user_id, eaten_at, date, time_zone, created_at)
  SELECT id, at, at::date, 'Europe/Moscow', at
  FROM generate_series(1, 100000) n
  CROSS JOIN LATERAL (SELECT now() - random() * interval '1000 days' + n * interval '0 s' AS at) a
  JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS position FROM accounts_user) u
    ON u.position = n % 2000
  RETURNING id
)
INSERT INTO nutrition_mealitem (meal_id, position, name, grams, energy_kcal, protein_g, fat_g,
                                carbohydrate_g)
SELECT id, line, md5(random()::text), round((random() * 400)::numeric, 1),
       round((random() * 900)::numeric, 1), round((random() * 90)::numeric, 1),
       round((random() * 90)::numeric, 1), round((random() * 90)::numeric, 1)
FROM meals CROSS JOIN generate_series(0, 2) line
"""


def sql(stack: Stack, statement: str) -> str:
    command = ("psql", "-U", "postgres", "-X", "-qtA", "-v", "ON_ERROR_STOP=1", "-d", "eatfit24")
    return stack.compose("exec", "-T", "db", *command, "-c", statement).strip()


def size(stack: Stack) -> int:
    return int(sql(stack, "SELECT pg_database_size('eatfit24')"))


def timed(stack: Stack, name: str, *command: str) -> None:
    began = time.monotonic()
    stack.run(*command, seconds=3600)
    print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        tree, key = Path(directory) / "tree", Path(directory) / "key.txt"
        values = production_values()
        values |= {"BACKUP_AGE_RECIPIENT": new_key(key), "BACKUP_AGE_IDENTITY": str(key)}
        with running_stack(tree, values) as stack:
            sql(stack, EATERS)
            while size(stack) < SIZE:
                sql(stack, MEALS)
            print(f"database: {size(stack) / 1e9:.2f} GB, {sql(stack, COUNTS)}", flush=True)
            timed(stack, "backup", "scripts/backup.sh")
            print(stack.run("scripts/backup.sh", "list"), flush=True)
            sql(stack, MEALS)
            moment = sql(stack, "SELECT clock_timestamp()")
            sql(stack, "TRUNCATE nutrition_mealitem")
            timed(stack, "WAL of 100,000 meals", "scripts/backup.sh", "wal")
            timed(stack, "to a moment", "scripts/restore.sh", "--yes", "--at", moment)
            print(f"then: {sql(stack, COUNTS)}", flush=True)
            stack.compose("down", "--volumes")
            timed(stack, "a lost database", "scripts/restore.sh", "--yes")
            print(f"then: {sql(stack, COUNTS)}", flush=True)


COUNTS = """
SELECT count(*) || ' meals, ' || (SELECT count(*) FROM nutrition_mealitem) || ' lines'
FROM nutrition_meal
"""

if __name__ == "__main__":
    main()
