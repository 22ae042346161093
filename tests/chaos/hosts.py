"""Hosts on one machine: network namespaces, whose cables to the services can be pulled."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

_NET = "10.213"
_TRIES = 20
# When the first process is killed, the others are, too.
_OWN = ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
_MOVED = "SUSPECTS_CHAOS_MOVED"


class NoNamespaces(Exception):
    """Network namespaces cannot be made here."""


@dataclass(frozen=True)
class Host:
    """A network namespace; what runs in it reaches the services through one cable."""

    name: str
    cable: str
    address: str

    def command(self, command: list[str]) -> list[str]:
        """The command as one that runs on this host."""
        return ["ip", "netns", "exec", self.name, *command]

    def cut(self) -> None:
        """Let every packet be lost in both directions; nobody is told."""
        _ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        """Let packets pass again."""
        _ip("link", "set", self.cable, "up")


@dataclass(frozen=True)
class Network:
    """`address`: where services listen so that every host reaches them."""

    address: str
    hosts: list[Host]


def can_have_own_space() -> bool:
    """Whether such namespaces can be made here."""
    if shutil.which(_OWN[0]) is None:
        return False
    return subprocess.run([*_OWN, "true"], check=False, capture_output=True).returncode == 0


def move_to_own_space() -> None:
    """Start this program again in namespaces of its own for network, processes and mounts, where those can be made.

    A browser anywhere on the machine gives up all its requests, those to the machine itself too, whenever a cable of its network
    comes or goes. And however the program ends, the kernel ends every process of its space, and nothing stays mounted.
    """
    if _MOVED in os.environ or not can_have_own_space():
        return
    # The shell stays, as the parent of all that lose theirs. Names of network namespaces are of this space, too.
    prepare = 'ip link set lo up && mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && "$@"; exit $?'
    begin = [*_OWN, "sh", "-c", prepare, "sh"]
    os.execvpe(begin[0], [*begin, *sys.orig_argv], {**os.environ, _MOVED: "yes"})  # this very program


@contextmanager
def network(count: int) -> Iterator[Network]:
    """So many hosts, and an address for the services. Raises NoNamespaces."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise NoNamespaces("root alone can make network namespaces")
    with ExitStack() as made:
        part = _free_part(made)
        hosts = [_host(made, part, number) for number in range(count)]
        yield Network(f"{_NET}.{part}.254", hosts)


def _free_part(made: ExitStack) -> int:
    """A part of the address space that no other campaign on this machine uses."""
    for step in range(_TRIES):
        part = (os.getpid() + step) % 250
        try:
            # Packets for a host whose cable is pulled go nowhere, rather than out of the machine.
            _ip("route", "add", "blackhole", f"{_NET}.{part}.0/24")
        except NoNamespaces:
            if step == _TRIES - 1:
                raise
            continue
        made.callback(_quietly, "route", "del", "blackhole", f"{_NET}.{part}.0/24")
        _ip("address", "add", f"{_NET}.{part}.254/32", "dev", "lo")
        made.callback(_quietly, "address", "del", f"{_NET}.{part}.254/32", "dev", "lo")
        return part
    raise AssertionError


def _host(made: ExitStack, part: int, number: int) -> Host:
    ours, theirs = (f"{_NET}.{part}.{4 * number + place}" for place in (1, 2))
    host = Host(f"chaos-{part}-{number}", f"chaos{part}v{number}", theirs)
    _ip("netns", "add", host.name)
    made.callback(_quietly, "netns", "delete", host.name)
    _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    made.callback(_quietly, "link", "delete", host.cable)
    _ip("address", "add", f"{ours}/30", "dev", host.cable)
    host.mend()
    for words in (
        ["address", "add", f"{theirs}/30", "dev", "eth0"],
        ["link", "set", "lo", "up"],
        ["link", "set", "eth0", "up"],
        ["route", "add", "default", "via", ours],
    ):
        _ip("-netns", host.name, *words)
    return host


def _ip(*words: str) -> None:
    try:
        done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoNamespaces("the command ip is not installed") from error
    if done.returncode:
        raise NoNamespaces(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _quietly(*words: str) -> None:
    subprocess.run(["ip", *words], check=False, capture_output=True)
