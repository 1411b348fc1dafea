"""A private Slurm cluster of one node on this machine, from Debian's packages: for `make test-slurm`.

Needs root. It writes /etc/slurm/slurm.conf, the only place where jobs look for it, and refuses to where there is
another; everything else lies in one folder. Nothing of it is reachable from other machines.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIG = Path("/etc/slurm/slurm.conf")
MARK = "# written by tests/slurm/cluster.py of scalearn_lib"

TEMPLATE = """{mark}
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def call(*command: object) -> str:
    """Run a command and return what it prints; its errors end the test."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def install() -> None:
    """Install Slurm and munge from Debian's archive, if they are not there."""
    if os.geteuid():
        raise SystemExit("A private Slurm cluster needs root: munge, slurmctld and slurmd are started as such.")
    if all(map(shutil.which, ("slurmctld", "slurmd", "munged"))):
        return
    print("Installing slurm-wlm and munge ...", flush=True)
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    call("apt-get", "update", "-q")
    call("apt-get", "install", "-q", "-y", "--no-install-recommends", "slurm-wlm", "munge")


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """Run the cluster as long as the block lasts.

    Args:
        folder: an empty folder for its state, sockets and logs.
    """
    install()
    if CONFIG.exists() and MARK not in CONFIG.read_text():
        raise SystemExit(f"{CONFIG} belongs to another Slurm: run this on a machine or in a container without one.")
    host, cores = socket.gethostname().split(".")[0], os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(TEMPLATE.format(mark=MARK, host=host, folder=folder, cores=cores, memory=int(memory * 0.9)))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    munge = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder / 'munge.socket'}"]
    munge += [f"--{what}={folder / f'munged.{what}'}" for what in ("pid-file", "log-file", "seed-file")]
    daemons = []
    try:
        daemons.append(subprocess.Popen(munge, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        _wait("munge", lambda: (folder / "munge.socket").exists())
        for daemon in ("slurmctld", "slurmd"):
            daemons.append(
                subprocess.Popen([daemon, "-D", "-f", CONFIG], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
        _wait(
            "slurm",
            lambda: "idle" in subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout,
        )
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()
        CONFIG.unlink(missing_ok=True)


def _wait(what: str, ready, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not come up within {seconds:.0f} s; see its log.")
        time.sleep(0.5)
