"""This module reads the node's CPU and main memory with psutil, from /proc/stat and /proc/meminfo.

Inside a pod, too, these are the numbers of the host.
"""

import psutil

from resource_monitor.readings.reading import HostReading

MIB = 2**20


class Host:
    """Each reading covers the time since the previous one."""

    def __init__(self) -> None:
        # psutil's first answer is 0.0 by design, which would read as an idle CPU.
        psutil.cpu_percent(interval=None)

    def read(self) -> HostReading:
        memory = psutil.virtual_memory()
        return HostReading(
            cpu_percent=psutil.cpu_percent(interval=None),
            load_average=psutil.getloadavg(),
            # Not `memory.used`: a new process cannot have more than this leaves, and `percent` is
            # computed from it.
            memory_used_mb=(memory.total - memory.available) // MIB,
            memory_total_mb=memory.total // MIB,
            memory_percent=memory.percent,
        )
