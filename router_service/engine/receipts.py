"""Receipts of recent calls, for `GetReceipt`: also of calls that failed or whose client left."""

from __future__ import annotations

from collections import OrderedDict

from router_service.domain.receipt import Receipt


class ReceiptStore:
    """The last `kept` receipts, in process. A tenant sees its own only; a reused request id shows the latest call."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._receipts: OrderedDict[tuple[str, str], Receipt] = OrderedDict()

    def put(self, receipt: Receipt) -> None:
        """Keep a receipt, dropping the oldest where there are too many."""
        key = (receipt.tenant, receipt.request_id)
        self._receipts[key] = receipt
        self._receipts.move_to_end(key)
        if len(self._receipts) > self._kept:
            self._receipts.popitem(last=False)

    def get(self, tenant: str, request_id: str) -> Receipt | None:
        """The receipt, or `None` where it is unknown or no longer kept."""
        return self._receipts.get((tenant, request_id))
