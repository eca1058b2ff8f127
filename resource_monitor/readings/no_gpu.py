"""This module reports whether a machine without NVML and nvidia-smi has an NVIDIA GPU at all."""

from pathlib import Path

from jobqueue.resources import NodeReasonCode
from resource_monitor.readings.reading import Fault, GpuReport

PCI_DEVICES = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY_CLASS = "0x10de", "0x03"


class NoGpu:
    """Reads the PCI bus; reports a missing driver or a missing GPU, and never a GPU."""

    def __init__(self, devices: Path = PCI_DEVICES) -> None:
        self._devices = devices

    def read(self) -> GpuReport:
        if any(_is_nvidia_gpu(device) for device in self._devices.glob("*")):
            fault = Fault(
                NodeReasonCode.NO_DRIVER,
                "There is an NVIDIA GPU on this node, but no driver for it.",
            )
        else:
            fault = Fault(NodeReasonCode.NO_GPU, "There is no NVIDIA GPU on this node.")
        return GpuReport(faults=(fault,))


def _is_nvidia_gpu(device: Path) -> bool:
    try:
        vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text()
    except OSError:
        return False
    return vendor == NVIDIA and kind.startswith(DISPLAY_CLASS)
