"""The world's control server: sets faults and reports what the services received.

| request              | answer                                                                  |
|----------------------|-------------------------------------------------------------------------|
| POST /faults {…}     | 204; 422 with the reason for a fault that cannot be set (`bench.world.faults`) |
| GET /services        | for each service: its fault's mode, requests so far, how many hang now   |
| GET /mails/{user_id} | the messages that the mail server took for a user, oldest first           |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from json import JSONDecodeError
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bench.world.faults import FaultError, ServiceFault, ServiceFaults
from bench.world.mail import MailService


class ServiceCounters(Protocol):
    """What every service counts."""

    requests: int
    waiting: int


def control(
    faults: ServiceFaults,
    services: Mapping[str, ServiceCounters],
    mail: MailService,
    more: Iterable[BaseRoute] = (),
) -> Starlette:
    """The control server of these services; `more` are requests of a standing world."""

    async def set_fault(request: Request) -> Response:
        try:
            faults.set(ServiceFault.from_json(await request.json()))
        except (FaultError, JSONDecodeError) as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        return Response(status_code=204)

    async def tell(_request: Request) -> Response:
        modes = {name: fault.mode for name, fault in faults.present().items()}
        return JSONResponse(
            {
                name: {"mode": modes[name], "requests": service.requests, "waiting": service.waiting}
                for name, service in services.items()
            }
        )

    async def mails(request: Request) -> Response:
        return JSONResponse(mail.messages(request.path_params["user_id"]))

    return Starlette(
        routes=[
            Route("/faults", set_fault, methods=["POST"]),
            Route("/services", tell),
            Route("/mails/{user_id}", mails),
            *more,
        ]
    )
