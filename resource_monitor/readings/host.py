"""CPU and main memory of the node, through psutil (/proc/stat and /proc/meminfo); inside a pod too, the host's."""

import psutil

from resource_monitor.readings.reading import HostReading

MIB = 2**20


class Host:
    """Each reading covers the time since the one before."""

    def __init__(self) -> None:
        # psutil's first answer is 0.0 by design, which would read as an idle CPU.
        psutil.cpu_percent(interval=None)

    def read(self) -> HostReading:
        memory = psutil.virtual_memory()
        return HostReading(
            cpu_percent=psutil.cpu_percent(interval=None),
            load_average=psutil.getloadavg(),
            # Not `memory.used`: what counts is what a new process cannot have, and `percent` is made from this.
            memory_used_mb=(memory.total - memory.available) // MIB,
            memory_total_mb=memory.total // MIB,
            memory_percent=memory.percent,
        )
