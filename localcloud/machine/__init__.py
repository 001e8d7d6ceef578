"""Booted VMs as real processes: a supervisor that owns them, machine images, the guest agent's part."""
