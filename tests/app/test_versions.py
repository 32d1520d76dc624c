"""Two people who steer the same run do not undo each other's changes unseen."""

import threading

import pytest
from flask import Flask
from flask.testing import FlaskClient

CHANGES = [
    ("/config/telemetry", {"lambda_K": 0.25}, {"lambda_K": 0.5}),
    ("/config/alerts", {"action": "pause"}, {"action": "anneal"}),
    ("/config/samples", {"schedule": {"every": 9}}, {"schedule": None}),
    ("/config/growth", {"rule": {"most_memory_mb": 9}}, {"rule": None}),
]


@pytest.mark.parametrize(("path", "theirs", "ours"), CHANGES)
def test_what_somebody_changed_since_it_was_read_is_not_changed_again(
    ready: FlaskClient, path: str, theirs: dict[str, object], ours: dict[str, object]
) -> None:
    seen = ready.get(path).headers["ETag"]
    changed = ready.post(path, json=theirs, headers={"If-Match": seen})
    assert changed.status_code == 200
    refused = ready.post(path, json=ours, headers={"If-Match": seen})
    assert (refused.status_code, refused.get_json()["title"]) == (412, "Changed meanwhile")
    now = ready.get(path)
    assert (now.get_json(), now.headers["ETag"]) == (changed.get_json(), changed.headers["ETag"])
    assert ready.post(path, json=ours, headers={"If-Match": changed.headers["ETag"]}).status_code == 200
    assert ready.post(path, json=theirs, headers={"If-Match": "*"}).status_code == 200
    assert ready.post(path, json=ours).status_code == 200


def test_of_many_who_saw_the_same_one_changes_it(app: Flask, ready: FlaskClient) -> None:
    seen = ready.get("/config/telemetry").headers["ETag"]
    statuses = []

    def change(number: int) -> None:
        answer = app.test_client().post(
            "/config/telemetry", json={"lambda_K": number / 100}, headers={"If-Match": seen}
        )
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=change, args=[number]) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + 7 * [412]
