"""The serial port keeps all bytes in order, and a slow receiver delays no writer."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

from localcloud.engines.vm.serial_port import SerialPort
from tests.patience import PATIENCE, SOON

if TYPE_CHECKING:
    from pathlib import Path


def test_bytes_arrive_in_order(tmp_path: Path) -> None:
    received: list[bytes] = []
    port = SerialPort(received.append, tmp_path, "x")
    for number in range(2000):
        port.write(b"%d\n" % number)
    port.close(PATIENCE)
    assert b"".join(received).split() == [b"%d" % number for number in range(2000)]
    port.write(b"late")
    port.close(0)
    assert b"late" not in b"".join(received)


def test_flood_neither_waits_nor_grows_nor_loses_order(tmp_path: Path) -> None:
    go, received = threading.Event(), []

    def slow(data: bytes) -> None:
        go.wait(PATIENCE)
        received.append((len(data), data[:8], data[-8:]))

    port = SerialPort(slow, tmp_path, "x")
    tracemalloc.start()
    begin = time.monotonic()
    for number in range(800):
        port.write(b"%08d" % number * 8192)  # 50 MiB in all
    assert time.monotonic() - begin < PATIENCE / 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 << 20
    go.set()
    port.close(PATIENCE)
    assert sum(size for size, _, _ in received) == 800 * 65536
    assert [first for _, first, _ in received] == sorted(first for _, first, _ in received)
    assert received[-1][2] == b"00000799"
    assert list(tmp_path.iterdir()) == []


def test_stuck_receiver_does_not_hold_up_the_end(tmp_path: Path) -> None:
    go, received = threading.Event(), []

    def stuck(data: bytes) -> None:
        received.append(data)
        go.wait(PATIENCE)

    port = SerialPort(stuck, tmp_path, "x")
    port.write(b"first")
    while not received:
        time.sleep(0.001)
    port.write(b"second")
    begin = time.monotonic()
    port.close(0.05)
    assert time.monotonic() - begin < SOON
    go.set()
    port.close(PATIENCE)
    assert received == [b"first"]


def test_full_disk_loses_the_newest_bytes_only(tmp_path: Path) -> None:
    go, received = threading.Event(), []

    def slow(data: bytes) -> None:
        go.wait(PATIENCE)
        received.append(data)

    port = SerialPort(slow, tmp_path, "x")
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, port._file.fileno())  # every write to it fails now
    os.close(full)
    for letter in b"abc":
        port.write(bytes([letter]) * (1 << 20))
    port.write(b"lost")
    go.set()
    port.close(PATIENCE)
    text = b"".join(received)
    assert b"a" in text
    assert b"lost" not in text
