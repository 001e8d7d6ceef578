"""The runner: carries one job out on the VM and reports facts. It travels in the kit."""
