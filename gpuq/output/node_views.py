"""Turn nodes, configs and templates into listings. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from gpuq.output.job_views import field
from gpuq.output.listing import Column, Item, Listing, Rows
from gpuq.output.text import duration

_MIB_PER_GIB = 1024


def nodes(answer: Item) -> Listing:
    """Return GET /nodes as a listing with one row per GPU, and one per node without any."""
    rows = [row for node in answer["nodes"] for row in _rows(node)]
    notice = "" if rows else "No node has reported; `gpuq doctor` shows what is wrong."
    return Listing(answer, Rows(_NODES, rows), [node["node"] for node in answer["nodes"]], notice)


def configs(answer: Item) -> Listing:
    """Return GET /configs as a listing."""
    found = answer["configs"]
    names = [each["name"] for each in found]
    notice = "" if found else "The server has no configs; submit a file with --config @FILE."
    return Listing(answer, Rows([Column("CONFIG", field("name"))], found), names, notice)


def workflows(answer: Item) -> Listing:
    """Return GET /workflows as a listing."""
    found = answer["workflows"]
    columns = [
        Column("WORKFLOW", field("name")),
        Column("DEFAULT", lambda each: _yes(each["is_default"])),
        Column("CHECKS CONFIG", lambda each: _yes(each["checks_config"])),
    ]
    return Listing(answer, Rows(columns, found), [each["name"] for each in found])


_NODES = (
    Column("NODE", field("node")),
    Column("GPU", field("gpu")),
    Column("STATE", field("state")),
    Column("UTIL", field("utilization")),
    Column("MEMORY", field("memory")),
    Column("NAME", field("name")),
    Column("TEMP", field("temperature"), wide=True),
    Column("POWER", field("power"), wide=True),
    Column("CPU", field("cpu")),
    Column("MAIN MEMORY", field("main_memory")),
    Column("LOAD", field("load"), wide=True),
    Column("AGE", field("age")),
    Column("PROCESSES", field("processes"), wide=True),
    Column("REASON", field("reason")),
)


def _rows(node: Item) -> Iterator[dict[str, Any]]:
    snapshot = node.get("snapshot")
    about = {"node": node["node"], "age": duration(node["age_s"])}
    if snapshot is None:
        yield {**about, "state": "unreachable", "reason": node.get("error")}
        return
    about |= _host(snapshot)
    for gpu in snapshot["gpus"]:
        yield {**about, **_gpu(gpu, snapshot)}
    if not snapshot["gpus"]:
        state = _state(snapshot["available"])
        yield {**about, "state": state, "reason": _reasons(snapshot, None, alone=True)}


def _host(snapshot: Item) -> dict[str, Any]:
    cpu, memory = snapshot["cpu"], snapshot["memory"]
    load = cpu["load_average"]
    return {
        "cpu": _with_unit(cpu["usage_percent"], "%"),
        "main_memory": _with_unit(memory["usage_percent"], "%"),
        "load": load and " ".join(f"{value:.2f}" for value in load),
    }


def _gpu(gpu: Item, snapshot: Item) -> dict[str, Any]:
    return {
        "gpu": gpu["index"],
        "state": _state(gpu["available"] and snapshot["available"]),
        "utilization": _with_unit(gpu["utilization_percent"], "%"),
        "memory": _of(gpu["memory_used_mb"], gpu["memory_total_mb"]),
        "name": gpu["name"],
        "temperature": _with_unit(gpu["temperature_c"], "°C"),
        "power": _with_unit(gpu["power_w"], "W"),
        "processes": _processes(gpu),
        "reason": _reasons(snapshot, gpu["index"], alone=False),
    }


def _reasons(snapshot: Item, gpu: int | None, alone: bool) -> str:
    """Return the reasons about that GPU and about the whole node; with `alone` all reasons."""
    said = [
        reason["message"]
        for reason in snapshot["reasons"]
        if alone or reason.get("gpu") in (gpu, None)
    ]
    return "; ".join(sentence.rstrip(".") for sentence in said)


def _processes(gpu: Item) -> str | None:
    """Return `user:pid` of each process; the monitor may know the count only."""
    known = gpu.get("processes")
    if known is None:
        return None if gpu["process_count"] is None else str(gpu["process_count"])
    return ", ".join(_process(each) for each in known)


def _process(each: Mapping[str, Any]) -> str:
    return f"{each.get('user') or '?'}:{each.get('pid') or '?'}"


def _state(available: bool) -> str:
    return "available" if available else "busy"


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:.0f} {unit}"


def _of(used_mb: float | None, total_mb: float | None) -> str | None:
    if used_mb is None and total_mb is None:
        return None
    used, total = (
        "?" if value is None else f"{value / _MIB_PER_GIB:.1f}" for value in (used_mb, total_mb)
    )
    return f"{used}/{total} GiB"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
