"""The brokers of Celery's tests, for what is handed over to it."""

from tests.celery_impl.conftest import _broker_at_hand, _server, broker  # noqa: F401 - fixtures
from tests.celery_impl.rabbit import _node, _rabbitmq_at_hand, rabbitmq  # noqa: F401 - fixtures
