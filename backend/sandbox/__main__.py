"""python -m sandbox --port 9000: serve until SIGTERM or SIGINT."""

import argparse
import signal
import sys

from sandbox.server import Sandbox


def main() -> None:
    """Stand in for outside services over HTTP until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        sandbox = Sandbox(options.host, options.port)
    except (OSError, OverflowError) as error:
        sys.exit(f"sandbox: cannot listen on {options.host}:{options.port}: {error}")
    with sandbox:
        print(f"sandbox: {sandbox.url}", flush=True)
        sandbox.serve_forever()


if __name__ == "__main__":
    main()
