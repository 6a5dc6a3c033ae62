"""One answer in one message. Usage: python complete.py [ADDRESS]."""

import asyncio
import sys

import llmrouter


async def main(address: str) -> None:
    """Ask once, and say what the answer cost."""
    async with llmrouter.AsyncClient.connect(address) as router:
        try:
            answer = await router.complete(
                "Summarise: the parcel arrived broken and I want my money back.",
                feature="support_summary",
                tier="free",
                timeout=30,
            )
        except llmrouter.RouterError as error:
            sys.exit(f"{error.reason or error.code.name}: {error.message}")
        receipt = answer.receipt
        cost = f"{receipt.cost_nano_usd / 1e9:.6f} USD" if receipt.HasField("cost_nano_usd") else "price unknown"
        print(answer.text)
        print(f"{receipt.model}, by rule {receipt.rule} of policy {receipt.policy}: {cost}")


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051"))
