"""Celery is what the design needs of it: routes, refusals, and an order of time limits."""

import json
from datetime import timedelta

import pytest
import redis
import yaml
from celery.exceptions import QueueNotFound
from kombu import Connection, Exchange, Producer

from apps.jobs.models import Job, Probe, job_models
from apps.jobs.services import submit_job
from config.celery import QUEUES, VISIBILITY_TIMEOUT, app
from sandbox.embedded import Redis
from tests.processes import ROOT, StartWorker, wait_for


@pytest.fixture
def broker(redis_server: Redis) -> "redis.Redis":
    return redis.Redis(port=redis_server.port, decode_responses=True)


@pytest.fixture(autouse=True)
def _tasks() -> None:
    app.loader.import_default_modules()


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("apps.ai.tasks.recognize", "ai"),
        ("apps.billing.tasks.charge", "billing"),
        ("apps.jobs.tasks.sweep", "billing"),
        ("apps.jobs.tasks.tick", "default"),
        ("apps.jobs.tasks.run_period", "default"),
        ("apps.messaging.tasks.deliver", "default"),
        ("nobody.knows", "default"),
    ],
)
def test_a_task_arrives_in_its_apps_queue(broker: "redis.Redis", task: str, queue: str) -> None:
    app.send_task(task, args=["an id"])
    assert {name: broker.llen(name) for name in QUEUES} == {
        name: int(name == queue) for name in QUEUES
    }
    message = json.loads(broker.lindex(queue, 0))  # type: ignore[arg-type]
    assert message["headers"]["task"] == task
    assert message["content-type"] == "application/json"


@pytest.mark.parametrize("queue", QUEUES)
def test_a_job_may_name_another_queue(broker: "redis.Redis", queue: str) -> None:
    app.send_task("apps.jobs.tasks.run_probe", args=["id"], queue=queue, routing_key=queue)
    assert [name for name in QUEUES if broker.llen(name)] == [queue]


def test_every_task_of_ours_is_registered_and_routed_to_a_queue_that_is_served() -> None:
    ours = {name for name in app.tasks if name.startswith("apps.")}
    assert ours >= {"apps.ai.tasks.recognize", "apps.jobs.tasks.sweep", "apps.jobs.tasks.tick"}
    assert {model.task for model in job_models()} <= set(app.tasks)
    routed = {app.amqp.router.route({}, name)["queue"].name for name in ours}
    assert routed <= set(QUEUES)


def test_an_unknown_queue_is_an_error_and_nothing_is_sent(broker: "redis.Redis") -> None:
    with pytest.raises(QueueNotFound):
        app.send_task("apps.jobs.tasks.tick", queue="bilingn")
    assert broker.keys("*") == []


@pytest.mark.django_db(transaction=True)
def test_a_worker_refuses_pickle_and_keeps_no_results(
    start_worker: StartWorker, redis_server: Redis, broker: "redis.Redis"
) -> None:
    worker = start_worker()
    with Connection(redis_server.url(0)) as connection:
        Producer(connection, exchange=Exchange("default"), routing_key="default").publish(
            ([str(Probe().pk)], {}, {}),
            serializer="pickle",
            headers={"task": "apps.jobs.tasks.run_probe", "id": "pickled", "lang": "py"},
        )
    wait_for(lambda: "ContentDisallowed" in worker.output(), "the pickle is refused")
    probes = [submit_job(job=Probe(queue=queue)) for queue in QUEUES]
    done = Probe.objects.filter(status=Job.Status.DONE)
    wait_for(lambda: done.count() == len(probes), "the worker still serves every queue")
    app.tasks["apps.jobs.tasks.tick"].apply_async()  # as beat does
    wait_for(
        lambda: not broker.hlen("unacked") and not any(broker.llen(name) for name in QUEUES),
        "everything is done and acknowledged",
    )
    assert redis.Redis(port=redis_server.port, db=1).keys("*") == []


def test_time_limits_are_in_order() -> None:
    services = yaml.safe_load((ROOT / "compose.yml").read_text())["services"]
    leases = [model.lease for model in job_models() if model.__module__.startswith("apps.")]
    graces = [
        timedelta(seconds=int(service["stop_grace_period"].removesuffix("s")))
        for service in services.values()
        if "worker" in service.get("command", [])
    ]
    assert len(graces) == 2
    assert max(graces) < min(leases)
    assert max(leases) < timedelta(seconds=VISIBILITY_TIMEOUT)


def test_one_visibility_timeout_is_what_the_transport_uses() -> None:
    with app.connection_for_write() as connection:
        assert connection.default_channel.visibility_timeout == VISIBILITY_TIMEOUT


def test_beat_has_intervals_alone_that_expire_within_themselves() -> None:
    assert set(app.conf.beat_schedule) == {"sweep", "tick", "turn"}
    for entry in app.conf.beat_schedule.values():
        assert isinstance(entry["schedule"], int), "a calendar belongs into apps.jobs.periods"
        assert 0 < entry["options"]["expires"] <= entry["schedule"]
        assert entry["task"] in app.tasks


def test_what_makes_a_lost_worker_cheap() -> None:
    assert app.conf.task_acks_late
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.accept_content == ["json"]
    assert app.conf.broker_connection_max_retries is None
