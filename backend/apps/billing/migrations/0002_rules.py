"""The database's own rules: the ledger is append-only, and what was sold is not rewritten.

Triggers refuse it to everybody, the owner included. Besides, the application's roles lack the
rights, where there are such roles (deploy/postgres/roles.sql).
"""

from django.db import migrations

TRIGGERS = """
CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: rows of it are only ever added', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER entry_is_append_only BEFORE UPDATE OR DELETE ON billing_entry
  FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER ledger_is_not_emptied BEFORE TRUNCATE ON billing_entry
  FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER plan_version_is_as_sold BEFORE UPDATE OR DELETE ON billing_planversion
  FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
"""

GRANTS = """
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'eatfit24_app') THEN
    REVOKE UPDATE, DELETE, TRUNCATE ON billing_entry, billing_planversion FROM eatfit24_app;
  END IF;
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(
            TRIGGERS,
            "DROP TRIGGER plan_version_is_as_sold ON billing_planversion;"
            "DROP TRIGGER ledger_is_not_emptied ON billing_entry;"
            "DROP TRIGGER entry_is_append_only ON billing_entry;"
            "DROP FUNCTION billing_refuse_change();",
        ),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
