"""Booted VMs as real processes: a supervisor that owns them, machine images, the guest agent's part."""

from localcloud.machine.machine import Machine, MachineEvents, MachineSpec
from localcloud.machine.supervisor import OwnedProcess

__all__ = ["Machine", "MachineEvents", "MachineSpec", "OwnedProcess"]
