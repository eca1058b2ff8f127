"""Stands in for `redis-cli` where the documents show it: `python -m tests.docs.redis_cli PORT
COMMAND …`.
"""

import sys

import redis


def main(port: str, *words: str) -> None:
    client = redis.Redis(port=int(port), decode_responses=True)
    answer = client.execute_command(*words)
    rows = (
        [word for pair in answer.items() for word in pair] if isinstance(answer, dict) else answer
    )
    for row in rows if isinstance(rows, list) else [rows]:
        print(row)


if __name__ == "__main__":
    main(*sys.argv[1:])
