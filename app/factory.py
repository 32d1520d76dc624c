"""Where the service is put together, and the only place."""

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

from flask import Flask

from app.service import Broadcaster, ModelManager
from app.service.disk import DiskLimits
from app.service.event_log import EventLog
from app.service.follower import Follower
from app.service.steering import Steering
from app.service.webhook import Webhook
from app.settings import HOME, Settings
from app.web.access import Scope, make_tokens, read_tokens
from app.web.branches import BranchRoutes
from app.web.checkpoints import CheckpointRoutes
from app.web.coding import CodingRoutes
from app.web.compression import compress
from app.web.exports import Exports
from app.web.exposition import Exposition
from app.web.gate import Gate
from app.web.health import HealthRoutes
from app.web.inference import InferenceRoutes
from app.web.jobs import JobRoutes
from app.web.lock import Lock
from app.web.pages import Pages, harden
from app.web.problems import handle_errors
from app.web.reference import ReferenceRoutes
from app.web.request_ids import RequestIds
from app.web.routes import Concept, Route, add_routes, log_requests, scopes_of
from app.web.runs import RunRoutes
from app.web.sockets import Sockets
from app.web.telemetry import TelemetryRoutes
from app.web.training import TrainingRoutes
from app.web.watching import refuse_writes
from bitlm.errors import BitLMError
from bitlm.session import CheckpointPolicy, RunStore

if TYPE_CHECKING:
    from app.service.relay import Publisher, Subscriber  # whose redis is an extra

EXTENSION = "bitlm"


@dataclass(frozen=True)
class Service:
    """What runs behind the web; `app.extensions["bitlm"]` holds it.

    Attributes:
        tellers: Tell of what happens elsewhere than on the page; none where the service only watches.
        routes: The route table.
        invitation: The page's address with a token that may do everything, where the token is new.
    """

    manager: ModelManager
    store: RunStore
    broadcaster: Broadcaster
    sockets: Sockets
    tellers: "tuple[EventLog | Webhook | Publisher, ...]"
    routes: tuple[Route, ...]
    invitation: str | None = field(repr=False)

    def request_stop(self) -> None:
        """Begin to stop, without waiting: let training end and hang up on the sockets."""
        self.manager.request_stop()
        self.sockets.close()

    def close(self) -> None:
        """Stop, with a last checkpoint, and wait until all is on the disk."""
        self.broadcaster.close()
        self.sockets.close()
        self.manager.close()
        for teller in self.tellers:
            teller.close()
        self.store.close()


def create_app(settings: Settings) -> Flask:
    """Return the service, running: its worker takes up the newest run at once, or its follower watches.

    Whoever makes it closes it: `app.extensions["bitlm"].close()`.
    """
    lock, invitation = _lock(settings) if settings.needs_token else (None, None)
    store = RunStore(settings.data_dir, read_only=settings.viewer)
    subscriber = _subscriber(settings) if settings.viewer else None
    follower = _follower(settings, store, subscriber) if settings.viewer else None
    manager = _manager(settings, store, follower)
    publisher = None if settings.viewer else _publisher(settings, manager)
    relay = publisher or subscriber
    app = Flask("app", template_folder=str(HOME / "templates"), static_folder=str(HOME / "static"))
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    sockets = Sockets(app, patience_s=settings.client_timeout_s)
    broadcaster = Broadcaster(
        manager,
        store,
        emit=sockets.emit,
        listening=lambda: sockets.listening,
        interval_s=settings.update_interval_s,
    )
    tellers = () if settings.viewer else _tellers(settings, manager, store, publisher)
    concepts = _concepts(settings, manager, store, relay)
    reference = ReferenceRoutes(concepts, settings)
    routes = tuple(route for concept in (*concepts, reference) for route in concept.table())
    log_requests(app)
    if follower is not None:
        refuse_writes(app, follower, _passed_on(settings, routes))
    add_routes(app, routes)
    app.register_blueprint(Pages(manager, store, settings.max_body_bytes).blueprint())
    app.register_blueprint(Exports(manager, store).blueprint())
    app.register_blueprint(Exposition(manager, relay).blueprint())
    app.register_blueprint(reference.blueprint())
    app.after_request(compress)
    app.after_request(harden)
    handle_errors(app)
    gate = Gate(
        app.wsgi_app,
        settings,
        scope_of=scopes_of(app, routes),
        lock=lock,
        locked_page=(HOME / "templates" / "locked.html").read_text(),
    )
    app.wsgi_app = RequestIds(gate)  # type: ignore[method-assign] # Flask's own way to add middleware
    app.extensions[EXTENSION] = Service(manager, store, broadcaster, sockets, tellers, routes, invitation)
    for teller in (broadcaster, *tellers):
        teller.start()
    manager.start()
    return app


def _concepts(
    settings: Settings, manager: ModelManager, store: RunStore, relay: "Publisher | Subscriber | None"
) -> tuple[Concept, ...]:
    return (
        TrainingRoutes(manager, settings.readable_roots),
        InferenceRoutes(manager),
        TelemetryRoutes(manager),
        RunRoutes(manager, store),
        JobRoutes(manager),
        BranchRoutes(manager),
        CheckpointRoutes(manager, store),
        CodingRoutes(manager),
        HealthRoutes(manager, store, relay),
    )


def _manager(settings: Settings, store: RunStore, follower: Follower | None) -> ModelManager:
    return ModelManager(
        store,
        torch_threads=settings.computing_threads,
        policy=CheckpointPolicy(settings.checkpoint_interval_s, settings.checkpoints_kept),
        disk_limits=DiskLimits(settings.disk_warn_bytes, settings.disk_pause_bytes),
        max_waiting=settings.max_waiting,
        follower=follower,
    )


def _tellers(
    settings: Settings, manager: ModelManager, store: RunStore, publisher: "Publisher | None"
) -> "tuple[EventLog | Webhook | Publisher, ...]":
    address = settings.alert_webhook
    webhooks = (Webhook(manager, store, address),) if address else ()
    return (EventLog(manager, store), *webhooks, *((publisher,) if publisher is not None else ()))


def _follower(settings: Settings, store: RunStore, subscriber: "Subscriber | None") -> Follower:
    steering = Steering(store) if settings.steer else None
    interval_s = settings.update_interval_s
    return Follower(store, interval_s=interval_s, subscriber=subscriber, steering=steering)


def _passed_on(settings: Settings, routes: tuple[Route, ...]) -> frozenset[str]:
    """Return the endpoints that a service which only watches does not refuse by itself."""
    return frozenset(route.name for route in routes if route.is_passed_on and settings.steer)


def _subscriber(settings: Settings) -> "Subscriber | None":
    if settings.redis_url is None:
        return None
    made: Subscriber = _relay().Subscriber(settings.redis_url, settings.redis_channel)
    return made


def _publisher(settings: Settings, manager: ModelManager) -> "Publisher | None":
    if settings.redis_url is None:
        return None
    made: Publisher = _relay().Publisher(
        manager,
        settings.redis_url,
        settings.redis_channel,
        page_url=settings.url,
        interval_s=settings.update_interval_s,
    )
    return made


def _relay() -> ModuleType:
    """Return what speaks with Redis.

    Raises:
        BitLMError: The package redis is not installed.
    """
    try:
        from app.service import relay  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise BitLMError(
            f"BITLM_REDIS_URL needs the package redis: {sys.executable} -m pip install redis"
        ) from error
    return relay


def _lock(settings: Settings) -> tuple[Lock, str | None]:
    """Return what tells callers apart and, where its tokens are new, the page's address with one."""
    made = make_tokens(settings.tokens_file)
    lock = Lock(read_tokens(settings.tokens_file), cookie_name=settings.cookie_name)
    return lock, f"{settings.url}/?token={made[Scope.DESTRUCTIVE]}" if made else None
