"""papermill's client of the kernel: gives each message to the cell that caused it, and loses no error."""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

import zmq
from jupyter_core.utils import ensure_async, run_sync
from nbclient.exceptions import CellExecutionComplete
from nbformat.v4 import new_output, output_from_msg
from papermill.clientwrap import PapermillNotebookClient

from . import output_messages
from .cell_progress import Progress
from .kernels import PYTHON
from .reports import Reports

# The time for the kernel to send what is left of its output after the last cell.
DRAIN_SECONDS = 60.0
# The messages of kernel_notices.py, which runs on the image's Python.
NOTICE = "notebook_builder_notice"
END_REQUEST = "notebook_builder_end_request"


class Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill is untyped
    """nbclient's client, which drops a message that arrives after its cell has ended."""

    def __init__(self, *arguments: Any, send: Reports, progress: Progress, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._send = send
        self._progress = progress
        self._cells: dict[str, tuple[Any, int]] = {}  # the cell, and its position, by the id of its request
        self._clearing: set[int] = set()  # cells whose next output replaces the others

    def papermill_execute_cells(self) -> None:
        """Extends papermill's method by what the kernel still has to send after the last cell."""
        super().papermill_execute_cells()
        if self._cells:
            self._drain()

    async def _async_drain(self) -> None:
        """Take messages until the kernel has answered a request that follows all others."""
        last = await self._send_last()
        # Old kernels name the newest request as the cause of all output.
        self._cells[last] = list(self._cells.values())[-1]
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            try:
                message = await ensure_async(self.kc.iopub_channel.get_msg(timeout=1))
            except Empty:
                await self._async_check_alive()
                continue
            if self._take(message) == last:
                return

    _drain = run_sync(_async_drain)

    async def _send_last(self) -> str:
        """Send a request after all others; return its id.

        Our Python kernel looks for failed tasks before it answers.
        """
        if self.kernel_name != PYTHON:
            asked: str = await ensure_async(self.kc.kernel_info())
            return asked
        request = self.kc.session.msg(END_REQUEST, {})
        self.kc.shell_channel.send(request)
        last: str = request["header"]["msg_id"]
        return last

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        """Replaces nbclient's method, which ignores messages of earlier cells: those of their threads and tasks."""
        self._cells[parent_msg_id] = cell, cell_index
        while self._take(await ensure_async(self.kc.iopub_channel.get_msg(timeout=None))) != parent_msg_id:
            pass

    def _take(self, message: dict[str, Any]) -> str | None:
        """Process a message for its cell; return the id of the request that it completes, if any."""
        request: str | None = message["parent_header"].get("msg_id")
        if not request and self._cells and message["msg_type"] != "status":
            # The kernel does not know the cause, as with an event loop's own errors: the newest cell shows it.
            request = list(self._cells)[-1]
        if request not in self._cells:
            return None
        cell, index = self._cells[request]
        self.clear_before_next_output = index in self._clearing
        try:
            self.process_message(message, cell, index)
        except CellExecutionComplete:
            return request
        finally:
            (self._clearing.add if self.clear_before_next_output else self._clearing.discard)(index)
            if self.comm_objects:
                self._look_for_replies()
        return None

    def _look_for_replies(self) -> None:
        """Have pyzmq look for messages on the shell channel.

        nbclient answers an Output widget by a send around pyzmq's event loop (`Session.send`). Such a send can take the
        socket's only sign that the cell's reply has arrived. Asking for its events is pyzmq's way to look again.
        """
        self.kc.shell_channel.socket.get(zmq.EVENTS)

    def process_message(self, message: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Extends papermill's method: an output that no notebook can hold is kept as text; notices are passed on."""
        if message["msg_type"] == NOTICE:
            self._progress.notice(cell, **message["content"])
            return None
        changed = output_messages.fit(message["msg_type"], message["content"])
        if changed:
            kinds = ", ".join(changed)
            self._progress.note(
                cell, f"its output of type {kinds} is kept as text: a notebook cannot hold it otherwise"
            )
        if message["msg_type"] == "error" and not self._in_widget(message):
            self._progress.note_late_error(cell, message["content"])
        return super().process_message(message, cell, cell_index)

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        """Extends nbclient's method: output that a widget takes is logged too."""
        in_widget = self._in_widget(msg)
        output = super().output(outs, msg, display_id, cell_index)
        if in_widget and msg["msg_type"] == "error":
            error = msg["content"]
            message = f"an error inside an Output widget: {error['ename']}: {error['evalue']}"
            self._progress.notice(self.nb.cells[cell_index], "widget", message)
        elif in_widget:
            self.log_output_message(output_from_msg(msg))
        return output

    def _in_widget(self, message: dict[str, Any]) -> bool:
        """Return True if an Output widget takes the message instead of its cell."""
        return bool(self.output_hook_stack[message["parent_header"].get("msg_id")])

    def log_output_message(self, output: Any) -> None:
        """Replaces papermill's method, which writes to a logger: its handler adds newlines that nobody wrote."""
        if output.output_type == "stream":
            self._send.output("".join(output.text), output.name)
        elif output.output_type != "error" and "text/plain" in output.get("data", {}):
            self._send.output("".join(output.data["text/plain"]) + "\n")

    async def _check_raise_for_error(self, cell: Any, cell_index: int, exec_reply: Any) -> None:
        """Extends nbclient's method: an error without an output of its own gets one, from the kernel's reply.

        IPython prints some errors as text only (UsageError, ExceptionGroup), and a notebook can replace what shows
        errors.
        """
        reply = exec_reply["content"] if exec_reply else {}
        if reply.get("status") == "error":
            name, value = str(reply.get("ename")), str(reply.get("evalue"))
            shown = [output for output in cell.outputs if output.output_type == "error"]
            if name and (not shown or (shown[-1].ename != name and name != "NoneType")):
                error = {"ename": name, "evalue": value, "traceback": [f"{name}: {value}"]}
                output_messages.fit("error", error)
                cell.outputs.append(new_output("error", **error))
        await super()._check_raise_for_error(cell, cell_index, exec_reply)
