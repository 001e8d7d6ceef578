"""Run as root of a network of its own: nothing but the loopback interface, and a trap for whoever looks beyond it.

`closed_world.py REPORT RESOLV_CONF CMD…` brings `lo` up, answers every name with an address of its own, and takes
every connection to that address; then runs CMD and writes what was asked for to REPORT as JSON. Whatever a process is
made of, C or Python, its resolver reads the resolv.conf that is mounted here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

SIOCSIFFLAGS = 0x8914
IFF_UP_RUNNING = 0x41
TRAP = "127.53.53.53"  # on the loopback interface, yet nobody's address
PORTS = (80, 443, 8080)


def bring_up_loopback() -> None:
    """Bring up the loopback interface, as `ip link set lo up` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_RUNNING))


def asked_name(query: bytes) -> str:
    """The name in a DNS query."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
    return ".".join(labels)


def answer_names(server: socket.socket, seen: list[str]) -> None:
    """Record every name asked for; A records get the trap's address, all else an empty answer."""
    while True:
        query, client = server.recvfrom(2048)
        name = asked_name(query)
        seen.append(f"name {name}")
        question_end = 12 + sum(len(label) + 1 for label in name.split(".")) + 1 + 4
        question = query[12:question_end]
        is_a = question[-4:-2] == b"\x00\x01"
        answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04" + socket.inet_aton(TRAP) if is_a else b""
        header = (
            query[:2] + b"\x81\x80\x00\x01" + (b"\x00\x01" if is_a else b"\x00\x00") + b"\x00\x00\x00\x00"
        )
        server.sendto(header + question + answer, client)


def take_connections(server: socket.socket, port: int, seen: list[str]) -> None:
    """Record every connection to the trap, and close it."""
    while True:
        connection, _ = server.accept()
        seen.append(f"connection to port {port}")
        connection.close()


def main() -> int:
    """Set the trap, run the command, and tell what was caught."""
    report, resolv_conf, *command = sys.argv[1:]
    bring_up_loopback()
    Path(resolv_conf).write_text("nameserver 127.0.0.1\n", encoding="ascii")
    subprocess.run(["mount", "--bind", resolv_conf, "/etc/resolv.conf"], check=True)
    seen: list[str] = []
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))
    threading.Thread(target=answer_names, args=(names, seen), daemon=True).start()
    for port in PORTS:
        server = socket.create_server((TRAP, port))
        threading.Thread(target=take_connections, args=(server, port, seen), daemon=True).start()
    with contextlib.suppress(OSError):
        socket.getaddrinfo("trap-is-set.example", 80)
    code = subprocess.run(command, check=False).returncode
    Path(report).write_text(json.dumps(seen), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
