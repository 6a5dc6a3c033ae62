"""An answer as it is written. Usage: python stream.py [ADDRESS]."""

import sys

import llmrouter


def main(address: str) -> None:
    """Print the text piece by piece, then what was attempted."""
    with llmrouter.Client.connect(address) as router:
        with router.stream("Tell me a short story about a lighthouse.", feature="chat_reply", tier="pro") as events:
            for text in events.text():
                print(text, end="", flush=True)
            print()
        if events.finished is not None:
            for attempt in events.finished.receipt.attempts:
                print(f"attempt {attempt.number}: {attempt.deployment} {attempt.error_type or 'ok'}")


main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051")
