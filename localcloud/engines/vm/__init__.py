"""Booted VMs as real processes: supervisor, machine images, guest agent."""

from localcloud.engines.supervisor import OwnedProcess
from localcloud.engines.vm.machine import Boot, Machine, MachineEvents, MachineSpec, Running

__all__ = ["Boot", "Machine", "MachineEvents", "MachineSpec", "OwnedProcess", "Running"]
