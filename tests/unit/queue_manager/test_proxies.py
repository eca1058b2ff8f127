"""X-Forwarded-… is believed from trusted proxies only, and all links have their prefix."""

from collections.abc import Callable

import pytest
from flask import Flask

BODY = {"user": "user1", "config": "config.yaml", "workdir": "/data/user1"}
PREFIX = {"X-Forwarded-Prefix": "/gpuq"}


def test_all_links_have_a_trusted_proxys_prefix(make_app: Callable[..., Flask]) -> None:
    client = make_app(trusted_proxies=1).test_client()
    answer = client.post("/submit", json=BODY, headers=PREFIX)
    assert answer.json
    job_id = answer.json["job_id"]
    links = {"job": f"/gpuq/jobs/{job_id}", "logs": f"/gpuq/jobs/{job_id}/logs"}
    assert answer.headers["Location"] == links["job"]
    assert answer.json["links"].items() >= links.items()
    client.post("/submit", json=BODY, headers=PREFIX)
    for path in ("/queue?limit=1", "/jobs?limit=1"):
        page = client.get(path, headers=PREFIX).json
        assert page
        assert page["next"].startswith(f"/gpuq{path}&cursor=")
        assert client.get(page["next"].removeprefix("/gpuq"), headers=PREFIX).status_code == 200
    client.delete(f"/jobs/{job_id}", headers=PREFIX)
    assert client.post(f"/jobs/{job_id}/retry", headers=PREFIX).headers["Location"] == links["job"]
    description = client.get("/openapi.json", headers=PREFIX).json
    assert description
    assert description["servers"] == [{"url": "/gpuq"}]


@pytest.mark.parametrize("count", [0, 2])
def test_a_header_of_no_trusted_proxy_is_ignored(
    make_app: Callable[..., Flask], count: int
) -> None:
    answer = (
        make_app(trusted_proxies=count).test_client().post("/submit", json=BODY, headers=PREFIX)
    )
    assert answer.headers["Location"].startswith("/jobs/")


def test_the_prefix_of_the_first_of_two_proxies_is_used(make_app: Callable[..., Flask]) -> None:
    client = make_app(trusted_proxies=2).test_client()
    answer = client.post("/submit", json=BODY, headers={"X-Forwarded-Prefix": "/outer,/inner"})
    assert answer.headers["Location"].startswith("/outer/jobs/")
