"""What outlives a call: counters, records, keys. In this process alone, or shared with other replicas."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence

from router_service.administration import Administration
from router_service.config.configuration import Configuration
from router_service.domain.error import NotConfigured, RouterError, StateUnavailable
from router_service.domain.feedback import Feedback
from router_service.domain.identity import Identity
from router_service.domain.limit import MeterState, Period, Subject
from router_service.domain.receipt import Receipt
from router_service.engine.book import Book, JournalBook, NoBook
from router_service.identity.authenticator import Authenticator, Credentials, open_authenticator
from router_service.identity.clock import Clocks
from router_service.ledger.audit import AuditEntry, AuditLog
from router_service.ledger.feedback import JudgedCall, record_feedback
from router_service.ledger.keeping import LedgerKeeper, open_ledger_database
from router_service.ledger.receipts import recorded_receipt
from router_service.ledger.texts import TextRecorder
from router_service.ledger.usage import Usage, UsageQuery, UsageReader
from router_service.limits.opening import open_limits
from router_service.storage.database import Database, StorageError
from router_service.storage.migrate import migrate

logger = logging.getLogger("llmrouter")

# How often holds whose owner died are looked for, and how long before counters that could not be rebuilt are again.
_SWEEP_EVERY = 10.0
_REBUILD_AGAIN = 5.0
# When counters that were rebuilt are raised again: what had ended just before was still on its way to the ledger.
_RAISE_AGAIN = (2.0, 13.0)
_LONGEST_PERIOD = {Period.HOUR: 3600.0, Period.DAY: 86400.0, Period.MONTH: 31 * 86400.0}


class State:
    """Everything of a configuration that is kept beyond a call. Make it inside a running event loop; `start` it before
    calls come, `aclose` it after the last.

    Raises `OSError` where the journal's folder cannot be used, `RedisNotInstalled` where Redis' client is missing.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self.limits = open_limits(
            configuration.limits, configuration.deployment_rates, configuration.redis, on_new_data=self._rebuild
        )
        settings = configuration.ledger
        self._keeper = None if settings.folder is None else LedgerKeeper(settings.folder, settings)
        texts = None if settings.texts is None else TextRecorder(settings.texts)
        self.book: Book = (
            NoBook() if self._keeper is None else JournalBook(self._keeper.journal, settings.labels, texts=texts)
        )
        self._database: Database | None = None
        self._authenticator: Authenticator | None = None
        self.administration = Administration(configuration.identity.api_keys)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open what can be opened; what is away now is tried again later. Raises `StorageError` for what cannot be."""
        configuration = self._configuration
        if configuration.storage.url is not None or self._keeper is not None:
            self._database = await open_ledger_database(configuration.storage, configuration.ledger)
            await self._prepare(self._database)
        self._authenticator = open_authenticator(
            configuration.identity, self._database, clocks=Clocks(monotonic=time.monotonic, wall=time.time)
        )
        self.administration.open(self._database, ended=self._authenticator.forget)
        if self._keeper is not None and self._database is not None:
            await self._keeper.start(self._database)
        if configuration.redis is None:
            await self._rebuild()
        self._run(self._sweep())
        self._run(self.limits.exchange_rates())
        await self.audit("configuration.start", after=configuration.fingerprint)

    async def aclose(self) -> None:
        """Bring to its end what is under way, as far as a few seconds allow."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.limits.aclose()
        if self._keeper is not None:
            await self._keeper.aclose()
        if self._authenticator is not None:
            await self._authenticator.aclose()
        if self._database is not None:
            await self._database.aclose()

    def use(self, configuration: Configuration) -> None:
        """Go by a reloaded configuration: its limits, budgets and callers. Connections and folders stay."""
        before, self._configuration = self._configuration, configuration
        self.limits.use(configuration.limits, configuration.deployment_rates)
        if self._authenticator is not None:
            self._authenticator.use(configuration.identity)
        self.administration.use(configuration.identity.api_keys)
        self._run(self.audit("configuration.reload", before=before.fingerprint, after=configuration.fingerprint))

    async def identify(self, credentials: Credentials) -> Identity:
        """Who presents these. Raises `RouterError` where they do not hold."""
        assert self._authenticator is not None
        return await self._authenticator.authenticate(credentials)

    def ledger_lag(self) -> tuple[int, float]:
        """How many bytes and seconds the ledger's database is behind. Safe to call from another thread."""
        if self._keeper is None:
            return 0, 0.0
        lag = self._keeper.lag()
        return lag.bytes, lag.seconds

    async def usage(self, query: UsageQuery) -> Usage:
        """What was used and what it cost. Raises `NotConfigured` and `StateUnavailable`."""
        if self._database is None:
            raise _nothing_recorded()
        try:
            return await UsageReader(self._database).usage(query)
        except StorageError as error:
            raise StateUnavailable(
                "The ledger's database cannot be asked now. Try again.", metadata={"state": "ledger"}
            ) from error

    def check_ledger(self) -> None:
        """Raise `NotConfigured` where calls are not recorded, or not until the database is opened."""
        if self._keeper is None or self._database is None:
            raise _nothing_recorded()

    async def record_feedback(self, receipt: Receipt, feedback: Feedback, *, key_id: str) -> None:
        """Keep feedback on a call, given now by `key_id`. Raises `NotConfigured` and `StateUnavailable`."""
        self.check_ledger()
        assert self._database is not None
        call = JudgedCall(
            operation_id=receipt.operation_id,
            request_id=receipt.request_id,
            tenant=receipt.tenant,
            started_at=receipt.started_at,
        )
        try:
            await record_feedback(self._database, call, feedback, key_id=key_id, at=time.time())
        except StorageError as error:
            raise StateUnavailable(
                "The feedback is not kept: the ledger's database cannot be written now. Give it again.",
                metadata={"state": "ledger"},
            ) from error

    async def allowances(self, subject: Subject, model: str) -> Sequence[MeterState]:
        """How a subject stands with limits and budgets. Raises `RouterError` where the counters are away."""
        return await self.limits.limiter.state(subject, model)

    async def shadow_caps(self) -> Sequence[MeterState]:
        """How far the caps of shadow calls are spent. Raises `RouterError` where the counters are away."""
        return await self.limits.limiter.shadow_caps()

    async def receipt(self, tenant: str, request_id: str) -> Receipt | None:
        """The receipt of a call that any process recorded. Raises `StateUnavailable`."""
        if self._database is None:
            return None
        try:
            return await recorded_receipt(self._database, tenant, request_id)
        except StorageError as error:
            raise StateUnavailable(
                "This process has no such receipt, and the ledger's database cannot be asked now. Try again.",
                metadata={"state": "ledger"},
            ) from error

    async def audit(self, action: str, *, before: str = "", after: str = "") -> None:
        """Note what the operator did. A database that is away loses the note, and the log says so."""
        if self._database is None:
            return
        entry = AuditEntry(
            entry_id=secrets.token_hex(12),
            at=time.time(),
            actor="operator",
            action=action,
            subject=self._configuration.source,
            before_fingerprint=before,
            after_fingerprint=after,
        )
        try:
            await AuditLog(self._database).add(entry)
        except StorageError as error:
            logger.warning("%s is not in the audit log: %s", action, error)

    async def _prepare(self, database: Database) -> None:
        try:
            await migrate(database)
        except StorageError as error:
            logger.warning("the database is not ready, and will be prepared later: %s", error)

    async def _rebuild(self) -> None:
        """Bring back the budgets' counters, which may have been lost with a process or a server."""
        try:
            await self._raise_spend()
        except (StorageError, RouterError) as error:
            logger.warning("budgets do not count what was spent before, and will be rebuilt: %s", error)
            self._run(self._rebuild_later())
        else:
            self._run(self._raise_again())

    async def _raise_spend(self) -> None:
        """Raise the budgets' counters to what the ledger knows. Raises `StorageError` and `RouterError`."""
        limits = self._configuration.limits
        budgets = [*limits.budgets, *limits.shadows.values()]
        if not budgets or self._database is None:
            return
        since = min(time.time() - _LONGEST_PERIOD.get(budget.period, time.time()) for budget in budgets)
        held = await self.limits.limiter.held()
        rows = await UsageReader(self._database).settled_spend(max(0.0, since), without=held)
        await self.limits.limiter.rebuild(rows)

    async def _raise_again(self) -> None:
        for pause in _RAISE_AGAIN:
            await asyncio.sleep(pause)
            try:
                await self._raise_spend()
            except (StorageError, RouterError) as error:
                logger.warning("budgets may not count all that was spent before: %s", error)

    async def _rebuild_later(self) -> None:
        await asyncio.sleep(_REBUILD_AGAIN)
        await self._rebuild()

    async def _sweep(self) -> None:
        """Settle what dead routers held, with what the ledger has booked for it; else the reserve stands."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            try:
                for hold in await self.limits.limiter.sweep():
                    booked = None
                    if self._database is not None:
                        booked = await UsageReader(self._database).booked(hold.attempt_id)
                    self.limits.limiter.settle_lapsed(
                        hold,
                        tokens=None if booked is None else booked.tokens,
                        nano_usd=None if booked is None else booked.nano_usd,
                    )
            except StorageError as error:
                logger.warning("lapsed holds wait for the ledger: %s", error)
            except Exception:
                logger.exception("lapsed holds could not be swept")

    def _run(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _nothing_recorded() -> NotConfigured:
    return NotConfigured(
        "Nothing is recorded here: give the router a `ledger` with a folder.", metadata={"section": "ledger"}
    )
