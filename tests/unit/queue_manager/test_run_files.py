"""Logs and metrics: read whole, from the end, or while they grow; only from the run folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from devtools.testbed.fakes import NOW
from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.leader import Leader, Outcome
from queue_manager.files.tail import (
    CHUNK_BYTES,
    FollowerLimit,
    chunks,
    follow,
    tail_start,
    whole_end,
    whole_lines,
)

Submit = Callable[..., Any]
FAILED = Reason(ReasonCode.TRAINING_FAILED, "The training ended with exit code 1.")


@pytest.fixture
def job_id(submit: Submit, admit: Callable[..., None]) -> str:
    """The id of a running job."""
    job_id = str(submit().json["job_id"])
    admit(job_id)
    return job_id


@pytest.fixture
def run_folder(job_id: str, folders: Path) -> Path:
    folder = folders / "data" / "user1" / "runs" / job_id
    folder.mkdir(parents=True)
    return folder


def text_of(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def test_a_log_and_its_end(client: FlaskClient, job_id: str, run_folder: Path) -> None:
    (run_folder / "train.log").write_text("epoch 1\nepoch 2\nepoch 3\n")
    answer = client.get(f"/jobs/{job_id}/logs")
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.get_data(as_text=True) == "epoch 1\nepoch 2\nepoch 3\n"
    assert text_of(client, f"/jobs/{job_id}/logs?tail=2") == "epoch 2\nepoch 3\n"
    assert text_of(client, f"/jobs/{job_id}/logs?tail=0") == ""
    assert client.get(f"/jobs/{job_id}/logs?tail=all").status_code == 400


def test_a_job_without_a_log_yet_has_an_empty_one(client: FlaskClient, job_id: str) -> None:
    assert text_of(client, f"/jobs/{job_id}/logs") == ""
    assert text_of(client, f"/jobs/{job_id}/metrics") == ""


@pytest.mark.parametrize("query", ["", "?follow=1"])
def test_without_a_run_folder_the_last_lines_come_from_the_record(
    client: FlaskClient, job_id: str, leader: Leader, query: str
) -> None:
    leader.finish(job_id, NOW, Outcome(Phase.FAILED, FAILED, Result(1, ("one", "two", "three"))))
    assert text_of(client, f"/jobs/{job_id}/logs{query}") == "one\ntwo\nthree\n"
    assert text_of(client, f"/jobs/{job_id}/logs?tail=2") == "two\nthree\n"
    assert text_of(client, f"/jobs/{job_id}/logs?tail=0") == ""


def test_a_finished_log_is_followed_to_its_end(
    client: FlaskClient, job_id: str, leader: Leader, run_folder: Path
) -> None:
    (run_folder / "train.log").write_text("epoch 1\nepoch 2\n")
    leader.finish(job_id, NOW, Outcome(Phase.FAILED, FAILED, Result(1)))
    assert text_of(client, f"/jobs/{job_id}/logs?follow=true&tail=1") == "epoch 2\n"


def test_metrics_continue_where_the_last_answer_ended(
    client: FlaskClient, job_id: str, run_folder: Path
) -> None:
    file = run_folder / "metrics.jsonl"
    file.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    first = client.get(f"/jobs/{job_id}/metrics")
    assert first.content_type == "application/x-ndjson"
    assert first.get_data(as_text=True) == '{"epoch": 1}\n{"epoch": 2}\n'
    assert first.headers["X-Next-Since"] == "26"
    file.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n')
    second = client.get(f"/jobs/{job_id}/metrics?since=26")
    assert second.get_data(as_text=True) == '{"epoch": 3}\n'
    assert second.headers["X-Next-Since"] == "39"
    nothing_new = client.get(f"/jobs/{job_id}/metrics?since=39")
    assert (nothing_new.get_data(), nothing_new.headers["X-Next-Since"]) == (b"", "39")
    shrunk = client.get(f"/jobs/{job_id}/metrics?since=99")
    assert (shrunk.get_data(), shrunk.headers["X-Next-Since"]) == (b"", "39")


def test_followed_metrics_are_whole_lines(
    client: FlaskClient, job_id: str, run_folder: Path, leader: Leader
) -> None:
    (run_folder / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    leader.finish(job_id, NOW, Outcome(Phase.FAILED, FAILED, Result(1)))
    assert text_of(client, f"/jobs/{job_id}/metrics?follow=1&since=13") == '{"epoch": 2}\n'


# -- forbidden files -----------------------------------------------------------------------------


def test_a_log_that_links_out_of_the_workdir_is_refused(
    client: FlaskClient, job_id: str, run_folder: Path, folders: Path
) -> None:
    secret = folders / "data" / "user2" / "secret"
    secret.parent.mkdir()
    secret.write_text("secret\n")
    (run_folder / "train.log").symlink_to(secret)
    answer = client.get(f"/jobs/{job_id}/logs")
    assert answer.status_code == 403
    assert answer.json
    assert "symbolic link" in answer.json["error"]
    run_folder.rename(run_folder.parent / "away")
    run_folder.symlink_to(secret.parent)
    secret.rename(secret.parent / "train.log")
    assert client.get(f"/jobs/{job_id}/logs").status_code == 403


def test_a_workdir_that_now_leads_out_of_data_is_refused(
    client: FlaskClient, job_id: str, folders: Path
) -> None:
    outside = folders / "outside"
    (outside / "runs" / job_id).mkdir(parents=True)
    (outside / "runs" / job_id / "train.log").write_text("secret\n")
    (folders / "data" / "user1").symlink_to(outside)
    assert client.get(f"/jobs/{job_id}/logs").status_code == 403


def test_a_link_within_the_workdir_is_followed(
    client: FlaskClient, job_id: str, run_folder: Path
) -> None:
    (run_folder / "other.log").write_text("epoch 1\n")
    (run_folder / "train.log").symlink_to("other.log")
    assert text_of(client, f"/jobs/{job_id}/logs") == "epoch 1\n"


def test_a_pipe_and_a_folder_are_refused_without_blocking(
    client: FlaskClient, job_id: str, run_folder: Path
) -> None:
    os.mkfifo(run_folder / "train.log")
    assert client.get(f"/jobs/{job_id}/logs").status_code == 503
    (run_folder / "metrics.jsonl").mkdir()
    assert client.get(f"/jobs/{job_id}/metrics").status_code == 503


# -- the limit -----------------------------------------------------------------------------------


def test_the_limit_of_followers_counts_only_open_requests(
    make_app: Callable[..., Flask], job_id: str, run_folder: Path, leader: Leader
) -> None:
    client = make_app(queue_manager_threads=10).test_client()
    following = [client.get(f"/jobs/{job_id}/logs?follow=1") for _ in range(2)]
    refused = client.get(f"/jobs/{job_id}/logs?follow=1")
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.json
    assert "Limit of 2 open ?follow/?wait requests reached" in refused.json["error"]
    assert client.get(f"/jobs/{job_id}/logs").status_code == 200
    following[0].close()
    leader.finish(job_id, NOW, Outcome(Phase.FAILED, FAILED, Result(1)))
    assert client.get(f"/jobs/{job_id}/metrics?follow=1").status_code == 200
    following[1].close()


def test_the_follower_limit_counts() -> None:
    limit = FollowerLimit(1)
    assert limit.acquire()
    assert not limit.acquire()
    limit.release()
    assert limit.acquire()


# -- following, pure -----------------------------------------------------------------------------


def test_following_waits_for_the_file_and_reads_what_was_written_last(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    script: Iterator[Callable[[], object]] = iter(
        [
            lambda: None,
            lambda: path.write_bytes(b"one\n"),
            lambda: path.open("ab").write(b"two\n") and None,
        ]
    )
    ended = []

    def pause() -> None:
        step = next(script, None)
        if step is None:
            path.write_bytes(path.read_bytes() + b"last\n")
            ended.append(True)
        else:
            step()

    pieces = follow(
        lambda: path.open("rb", buffering=0) if path.exists() else None,
        1,
        lambda: bool(ended),
        pause,
    )
    assert next(pieces) == b""
    assert b"".join(pieces) == b"ne\ntwo\nlast\n"


def test_what_was_written_just_before_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_bytes(b"one\n")

    def is_over() -> bool:
        path.write_bytes(path.read_bytes() + b"last\n")
        return True

    assert (
        b"".join(follow(lambda: path.open("rb", buffering=0), 0, is_over, lambda: None))
        == b"one\nlast\n"
    )


@given(pieces=st.lists(st.binary(max_size=5) | st.just(b"\n"), max_size=10))
def test_whole_lines_are_the_same_bytes_up_to_the_last_line_end(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    found = list(whole_lines(iter(pieces)))
    assert b"".join(found) == text[: text.rfind(b"\n") + 1]
    assert all(piece == b"" or piece.endswith(b"\n") for piece in found)


@given(
    lines=st.lists(st.sampled_from([b"", b"a", b"bb"]), max_size=12),
    rest=st.sampled_from([b"", b"x"]),
)
def test_the_tail_of_any_text(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "tail.txt"
    text = b"".join(line + b"\n" for line in lines) + rest
    path.write_bytes(text)
    with path.open("rb", buffering=0) as file:
        for wanted in range(len(lines) + 3):
            expected = b"".join(text.splitlines(keepends=True)[-wanted:] if wanted else [])
            file.seek(tail_start(file, wanted))
            assert b"".join(chunks(file)) == expected
        assert whole_end(file) == text.rfind(b"\n") + 1


def test_a_tail_over_many_blocks(tmp_path: Path) -> None:
    line = b"x" * 999 + b"\n"
    count = 3 * CHUNK_BYTES // 1000
    (tmp_path / "log").write_bytes(line * count + b"y" * 2 * CHUNK_BYTES)
    with (tmp_path / "log").open("rb", buffering=0) as file:
        assert tail_start(file, 1) == whole_end(file) == count * 1000
        assert tail_start(file, 101) == (count - 100) * 1000
        assert tail_start(file, count + 2) == 0
