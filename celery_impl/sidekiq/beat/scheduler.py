"""LeasedScheduler: what `beat_scheduler`, or `celery beat -S`, names in place of Celery's scheduler.

Any number of beats may run: one of them sends, and another takes over when it ends (`lease_client`). It reads
the same `beat_schedule`, with the further options of `policies`. It writes no file, and keeps its state in
the broker (`sent_ticks`). The app's setting `sidekiq_beat_lease_s` is how long a killed beat is waited for.

Each tick: the task's message is made by `apply_async` as ever, into a channel that keeps it, and then queued
by the script that notes the tick. So signals of publishing are sent shortly before the message is queued,
and also for one that is refused since the lease is lost. Headers of the message: `celery_beat_task`, as
stock beat's, and `periodic`, with the entry's name and the moment of its tick (`due`). A later run has a
later one: what the task writes elsewhere can be fenced by it.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import redis
from celery import Celery
from celery.beat import Scheduler
from celery.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError

from celery_impl.sidekiq.beat.lease import LEASE_S, LeaseState, RedisLease, check_ttl
from celery_impl.sidekiq.beat.lease_client import PARTS, Backoff, LeaseClient
from celery_impl.sidekiq.beat.message_building import make, settle
from celery_impl.sidekiq.beat.policies import Tick, expires_s
from celery_impl.sidekiq.beat.schedule_entries import Item, Plan, item_of
from celery_impl.sidekiq.beat.sent_ticks import LOST, OVERLAP, REFUSAL, RUN, UNKNOWN, Outcome, TickLedger
from celery_impl.sidekiq.redis.deadline import within
from celery_impl.sidekiq.redis.server_clock import ServerClock
from celery_impl.sidekiq.redis.store import Store

#: How the broker fails where it is away.
AWAY: Final = (OperationalError, redis.RedisError, OSError)
#: Seconds that a run has to begin in, at least, where the next tick is due any moment.
SOON_S: Final = 0.001

logger = logging.getLogger(__name__)


class BeatBroker:
    """The objects by which a beat uses its broker, made at the first connection.

    `now` in place of the broker's clock is for tests.
    """

    def __init__(
        self, app: Celery, *, lease_s: float, clock: ServerClock, now: Callable[[], float] | None = None
    ) -> None:
        def observe(state: LeaseState, sent: float) -> None:
            self.stepped_back |= clock.observe(state.now, sent=sent)

        #: Whether the broker's clock has stepped back since this was set to False.
        self.stepped_back = False
        self.store = Store(app)
        self.lease = RedisLease(
            self.store.client, prefix=self.store.prefix, ttl_s=lease_s, monotonic=clock.monotonic, now=now
        )
        self.ledger = TickLedger(self.store.sets, lease_key=self.lease.key, token=self.lease.token, now=now)
        self.lease_client = LeaseClient(self.lease, observe=observe, monotonic=clock.monotonic)
        self.producer: Any = app.amqp.Producer(self.store.channel, auto_declare=False)


class LeasedScheduler(Scheduler):
    """See the module. Raise ImproperlyConfigured for an entry or a broker that cannot be served."""

    schedule: dict[str, Any]

    def __init__(self, app: Celery, *args: Any, **options: Any) -> None:
        self._lease_s = check_ttl(float(app.conf.get("sidekiq_beat_lease_s") or LEASE_S))
        self._patience_s = self._lease_s / PARTS  # a holder must have time to ask again
        self._clock = ServerClock()
        self._backoff = Backoff()
        self._post: BeatBroker | None = None
        self._plan: Plan | None = None
        self._unsettled: Outcome | None = None  # of which it is not known yet whether its job is queued
        self._stands_by = False
        super().__init__(app, *args, **options)

    def setup_schedule(self) -> None:
        """Read the app's `beat_schedule`."""
        transport: Any = self.app.connection_for_write().transport
        if not hasattr(getattr(transport, "Channel", None), "sets"):
            raise ImproperlyConfigured(
                f"{type(self).__name__} needs an app with Sidekiq(app), and so Redis as its broker; "
                "leave beat_scheduler out for Celery's own, or run without beat"
            )
        super().setup_schedule()
        self._items()

    def tick(self, *_args: Any, **_options: Any) -> float:
        """Serve at most one tick; return the seconds until there is something to do."""
        try:
            wait = self._turn()
        except AWAY as error:
            self._plan = None  # what was asked last may have been done
            pause = self._backoff.pause_s()
            logger.warning("beat: the broker does not serve it (%s): trying again in %g s", error, pause)
            return pause
        self._backoff.over()
        return min(wait, float(self.max_interval or math.inf))

    def close(self) -> None:
        """Give the lease back, so that another beat goes on at once; a signal's handler may call it."""
        post, self._post, self._plan = self._post, None, None
        super().close()
        if post is None:
            return
        try:
            if post.lease_client.is_holder:
                with within(self._patience_s):
                    post.lease.release()
            post.store.close()
        except AWAY as error:
            logger.warning("beat: could not give the lease back (%s): it runs out by itself", error)

    @property
    def info(self) -> str:
        """Its line in the start-up banner."""
        return f"    . lease -> {self._lease_s:g} s, in the broker"

    def _turn(self) -> float:
        if self._post is None:
            self._post = BeatBroker(self.app, lease_s=self._lease_s, clock=self._clock)
        post = self._post
        with within(self._patience_s):
            anew = post.lease_client.turn()
        if not post.lease_client.is_holder:
            self._stand_by(post)
            return post.lease_client.wait_s()
        self._stands_by = False
        if anew:
            logger.info("beat: sends, holding the lease as %s", post.lease.token)
        if post.stepped_back:
            logger.warning("beat: the broker's clock has stepped back: the entries go on from its time now")
        if anew or self._plan is None or post.stepped_back:
            self._plan = self._planned(post)
            post.stepped_back = False
        if self._plan is None or self._served(post, self._plan):
            return 0.0
        return self._idle_s(post, self._plan)

    def _stand_by(self, post: BeatBroker) -> None:
        if self._stands_by:
            return
        level = logging.INFO if self._plan is None else logging.ERROR
        logger.log(level, "beat: another one holds the lease; this one stands by")
        self._plan, self._stands_by = None, True
        with within(self._patience_s):
            self._settle(post)
            unknown = self.schedule.keys() - post.ledger.names()
        if unknown:
            logger.warning(
                "beat: the one that holds the lease does not know %s: where it is another app's, give each a "
                "global_keyprefix of its own",
                ", ".join(sorted(unknown)),
            )

    def _idle_s(self, post: BeatBroker, plan: Plan) -> float:
        if not self.schedules_equal(self.old_schedulers, self.schedule):
            self._plan = None
            return 0.0
        wait = plan.wait_s(self._clock.now())
        return min(post.lease_client.wait_s(), math.inf if wait is None else wait)

    def _planned(self, post: BeatBroker) -> Plan | None:
        """Return the plan from the last known ticks; None where another beat has taken the lease."""
        items = self._items()
        with within(self._patience_s):
            self._settle(post)
            since = post.ledger.last_ticks({item.name: item.schedule for item in items})
            plan = Plan(items, since, now=self._clock.now())
            if post.ledger.register(plan.rows()):
                return plan
        post.lease_client.lost()
        return None

    def _items(self) -> list[Item]:
        self.old_schedulers = copy.copy(self.schedule)
        deadline = self.app.conf.beat_cron_starting_deadline
        return [item_of(entry, cron_deadline_s=deadline) for entry in self.schedule.values()]

    def _served(self, post: BeatBroker, plan: Plan) -> bool:
        """Deal with a tick that is due; False where there is none."""
        found = plan.due(self._clock.now())
        if found is None:
            return False
        item, tick, after = found
        outcome = self._outcome(post, item, tick, after)
        self._unsettled = outcome if outcome.count == RUN else None
        with within(self._patience_s):
            answer = post.ledger.claim(outcome)
        if answer in {LOST, UNKNOWN}:
            logger.error("beat: a tick of %s is left to the beat that has the lease now", item.name)
            self._plan = None
            post.lease_client.lost()
        else:
            self._unsettled = None
            plan.advance(item, tick, after)
            _tell(outcome, item)
        return True

    def _outcome(self, post: BeatBroker, item: Item, tick: Tick, after: float) -> Outcome:
        known: dict[str, Any] = {"name": item.name, "due": tick.due, "next": after, "misfires": tick.misfires}
        if not tick.runs:
            return Outcome(**known)
        skips, now = item.policy.overlap == "skip", self._clock.now()
        if skips:
            with within(self._patience_s):
                if post.ledger.runs(item.name, now):
                    return Outcome(**known, count=OVERLAP)
        job, messages = make(
            self.schedule[item.name],
            item,
            due=tick.due,
            left_s=max(SOON_S, after - now),
            channel=post.store.channel,
            apply_async=partial(self.apply_async, producer=post.producer, advance=False),
        )
        if not messages:
            return Outcome(**known, count=REFUSAL)
        left = expires_s(item.options, until_next_s=after - now, wall=time.time())
        until = now + left if skips and left is not None else None
        return Outcome(**known, count=RUN, job=job, messages=messages, believed_until=until)

    def _settle(self, post: BeatBroker) -> None:
        outcome = self._unsettled
        if outcome is not None and (entry := self.schedule.get(outcome.name)) is not None:
            settle(self.app, entry, outcome, post.ledger)
        self._unsettled = None


def _tell(outcome: Outcome, item: Item) -> None:
    if outcome.misfires:
        logger.warning("beat: %d ticks of %s went by that nobody served", outcome.misfires, outcome.name)
    if outcome.count == RUN:
        logger.info("beat: queued %s (%s) as %s", outcome.name, item.task, outcome.job)
    elif outcome.count == OVERLAP:
        logger.info("beat: a tick of %s is dropped: its last run goes on", outcome.name)
