"""scripts/earlier-tests.sh: an earlier commit's tests notice what today's migrations took away."""

from pathlib import Path

from tests.deployment.clones import commit_all, git, make_clone, run_script

EARLIER_TEST = """import pytest

from apps.operations.models import Report


@pytest.mark.django_db
def test_a_report_is_kept() -> None:
    Report.objects.create(name="backup", ok=True, detail="all of it")
    assert Report.objects.get().detail == "all of it"
"""
MIGRATION = """from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("operations", "{last}")]
    operations = [{operation}]
"""
GIVES = 'migrations.AddField("report", "place", models.TextField(null=True))'
TAKES = 'migrations.RemoveField("report", "detail")'


def test_earlier_tests_fail_on_a_dropped_column_and_not_on_a_new_one(tmp_path: Path) -> None:
    make_clone(tmp_path)
    test = "tests/operations/test_earlier_report.py"
    (tmp_path / "backend" / test).write_text(EARLIER_TEST)
    earlier = commit_all(tmp_path, "Earlier")
    migrations = tmp_path / "backend/apps/operations/migrations"
    last = max(migrations.glob("0*.py")).stem
    (tmp_path / "backend" / test).unlink()  # only the earlier commit has it

    def run(operation: str) -> str:
        (migrations / "0999_later.py").write_text(MIGRATION.format(last=last, operation=operation))
        done = run_script(tmp_path, "earlier-tests.sh", earlier, "-q", "-p", "no:xdist", test)
        assert ("1 passed" in done.stdout) is (done.returncode == 0), done.stdout
        return done.stdout

    assert "1 passed" in run(GIVES)
    taken = run(TAKES)
    assert "1 failed" in taken
    assert 'column "detail" of relation "operations_report" does not exist' in taken
    assert git(tmp_path, "rev-parse", "HEAD") == earlier


def test_an_unknown_commit_is_refused(tmp_path: Path) -> None:
    make_clone(tmp_path)
    commit_all(tmp_path, "Only")
    done = run_script(tmp_path, "earlier-tests.sh")
    assert done.returncode == 1
    assert "there is no commit" in done.stdout
