"""Machines of a small cluster, as network namespaces of this one.

Each has an address of its own, and its processes see neither the files nor the ports of
this machine: `machine.sh` says what is left. A test that passes here would pass on
machines that share one folder.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
# `nobody`: the user of workers, and the group that owns the shared folder. Java wants a
# user who has a name.
WORKER_USER: Final = 65534
_NETWORK: Final = "10.221.0"
# A namespace with the bridge between them: one in this machine's own namespace would be
# subject to its firewall, which Docker has drop what goes from machine to machine.
_SWITCH: Final = "two-tower-switch"
_BRIDGE: Final = "bridge"
_LINK: Final = "two-tower"  # this machine's end
# Address and name of this machine as the others see it.
SUBMITTER: Final = f"{_NETWORK}.1"
_NAME: Final = "submitter.two-tower"
_HOSTS: Final = f"127.0.0.1 localhost\n{SUBMITTER} {_NAME}\n"


def can_make_machines() -> str | None:
    """Returns why this machine cannot have them; None if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        tried = subprocess.run(
            ["unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    return tried.stderr.strip() or None


def shared_folder(parent: Path) -> Path:
    """Makes a folder that machines share: its group may write whatever lies in it.

    The umask of the processes has to leave the group its right to write.
    """
    folder = parent / "shared"
    folder.mkdir()
    os.chown(folder, -1, WORKER_USER)
    folder.chmod(0o2775)
    # The way there: a folder of pytest is closed to other users.
    for above in folder.parents[:-1]:
        above.chmod(above.stat().st_mode | 0o111)
    return folder


@dataclass(frozen=True)
class Machine:
    """A network namespace.

    Attributes:
      name: Of the namespace.
      address: Its IP address.
      visible: Folders of this machine's users that its processes see.
      logs: Folder for the output of its processes.
    """

    name: str
    address: str
    visible: Sequence[str]
    logs: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, label: str, command: Sequence[str], env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Starts a process there; its output goes to `logs`."""
        enter = ["ip", "netns", "exec", self.name]
        log = self.logs / f"{self.name}-{label}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*enter, *_as_machine(self.visible), *command],
                env={"LANG": "C.UTF-8", "PATH": os.environ["PATH"], **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def pids(self) -> list[int]:
        """Returns the processes that run there, children included."""
        command = ["ip", "netns", "pids", self.name]
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        return [int(pid) for pid in listed.stdout.split()]

    def kill(self) -> None:
        """Ends all of its processes at once, as a power cut does."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes.clear()


@contextlib.contextmanager
def machines(
    names: Sequence[str], shared: Path, software: Sequence[Path], logs: Path
) -> Iterator[list[Machine]]:
    """Makes machines that see each other, this machine and one shared folder.

    Args:
      names: A name for each.
      shared: The folder, see `shared_folder`.
      software: Folders with what is installed, besides Python and this repository.
      logs: Folder for the output of their processes.
    """
    installed = [REPOSITORY, Path(sys.prefix), Path(sys.base_prefix), *software]
    visible = [str(shared), *(f"{path}:ro" for path in dict.fromkeys(installed))]
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        _remove_leftovers(names)
        _ip("netns", "add", _SWITCH)
        stack.callback(_ip, "netns", "del", _SWITCH)
        _ip("-n", _SWITCH, "link", "add", _BRIDGE, "type", "bridge")
        _ip("-n", _SWITCH, "link", "set", _BRIDGE, "up")
        _connect_to_switch("tt-submitter", _LINK, "netns", str(os.getpid()))
        _ip("addr", "add", f"{SUBMITTER}/24", "dev", _LINK)
        _ip("link", "set", _LINK, "up")
        made = []
        for number, name in enumerate(names):
            address = f"{_NETWORK}.{11 + number}"
            _add_namespace(f"two-tower-{name}", f"tt-{number}", address, stack)
            made.append(Machine(f"two-tower-{name}", address, visible, logs))
            stack.callback(made[-1].kill)
        yield made


def _add_namespace(
    name: str, link: str, address: str, stack: contextlib.ExitStack
) -> None:
    _ip("netns", "add", name)
    stack.callback(_ip, "netns", "del", name)
    _connect_to_switch(link, "eth0", "netns", name)
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    # `ip netns exec` puts this in the place of /etc/hosts. Java asks for the address of
    # the name that this machine has, which the others share.
    folder = Path("/etc/netns", name)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts").write_text(f"{_HOSTS}{address} {socket.gethostname()}\n")


def _connect_to_switch(link: str, end: str, *place: str) -> None:
    """Makes a cable from the bridge to a device `end` in another namespace."""
    cable = ("type", "veth", "peer", "name", end, *place)
    _ip("-n", _SWITCH, "link", "add", link, *cable)
    _ip("-n", _SWITCH, "link", "set", link, "master", _BRIDGE, "up")


def submitter(folder: Path, visible: Sequence[str]) -> tuple[str, ...]:
    """Makes a command run as if this machine were one of the cluster.

    It has a name that the others know, since Beam's embedded runner sends its workers
    the name of its machine, which is often `localhost` where there is no name server.
    And it has the user of the workers, since TensorFlow lets only the user who makes a
    folder write in it.

    Args:
      folder: For a file.
      visible: See `Machine.visible`.

    Returns:
      What is put before the command.
    """
    hosts = folder / "hosts"
    hosts.write_text(_HOSTS)
    script = f'hostname {_NAME}; mount --bind {hosts} /etc/hosts; exec "$@"'
    named = ("unshare", "--uts", "--mount", "bash", "-ec", script, "bash")
    return (*named, *_as_machine(visible))


def _as_machine(visible: Sequence[str]) -> tuple[str, ...]:
    script = Path(__file__).with_name("machine.sh")
    return ("bash", str(script), str(WORKER_USER), *visible, "--")


def _remove_leftovers(names: Sequence[str]) -> None:
    """Removes the machines of a test run that was killed."""
    for name in names:
        left = Machine(f"two-tower-{name}", "", (), Path())
        if Path("/run/netns", left.name).exists():
            left.kill()
            _ip("netns", "del", left.name)
    if Path("/run/netns", _SWITCH).exists():
        _ip("netns", "del", _SWITCH)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@contextlib.contextmanager
def one_address(port: int, targets: Sequence[Machine]) -> Iterator[str]:
    """Hands each connection to the next machine, as a service of Kubernetes does.

    Yields:
      The address, for Beam's embedded runner, which knows one pool of workers.
    """
    turns = itertools.cycle(targets)
    with socket.create_server((SUBMITTER, port)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):  # the server was closed
                while True:
                    client, _ = server.accept()
                    _connect(client, [next(turns) for _ in targets], port)

        threading.Thread(target=accept, daemon=True).start()
        yield f"{SUBMITTER}:{port}"
        server.shutdown(socket.SHUT_RDWR)


def _connect(client: socket.socket, targets: Sequence[Machine], port: int) -> None:
    """Connects a client to the first of some machines that answers."""
    for machine in targets:
        with contextlib.suppress(OSError):
            target = socket.create_connection((machine.address, port), timeout=5)
            target.settimeout(None)
            for source, sink in ((client, target), (target, client)):
                threading.Thread(target=_copy, args=(source, sink), daemon=True).start()
            return
    client.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while received := source.recv(1 << 16):
            sink.sendall(received)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
