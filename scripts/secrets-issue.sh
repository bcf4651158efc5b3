#!/usr/bin/env bash
# Turns what `scripts/rotate-secret.sh --list --json` reports into the text of an issue.
#
#   scripts/on-server.sh secrets | scripts/secrets-issue.sh
#
# Exit codes: 0 the text is on standard output; 1 the input is no such report; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh

main() {
  case ${1:-} in
    -h | --help) usage; exit 0 ;;
    '') ;;
    *) misused "takes no arguments" ;;
  esac
  python3 -c '
import json, sys

try:
    reported = json.load(sys.stdin)
    rows = reported["secrets"] if isinstance(reported, dict) else reported
    columns = list(rows[0])
except (ValueError, LookupError, TypeError) as error:
    sys.exit(f"secrets-issue.sh: that is no list of secrets: {error!r}")

def told(value):
    return {"True": "yes", "False": "", "None": ""}.get(str(value), str(value).replace("|", "/"))

def line(cells):
    return "| " + " | ".join(told(cell) for cell in cells) + " |"

print("What the server reports of its secrets. How to rotate one, and when: docs/SECURITY_ROTATE_SECRETS.md\n")
print(line(column.replace("_", " ") for column in columns))
print(line("---" for _ in columns))
for row in rows:
    row["rotated_at"] = row.get("rotated_at") or "never"
    print(line(row.get(column) for column in columns))
'
}

main "$@"
