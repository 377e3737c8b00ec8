"""A Slurm cluster of one node, this machine, for tests: real munge, slurmctld and slurmd, as root
and without systemd.

    python tests/slurm_node.py COMMAND...     runs COMMAND with the node up, then stops it

Needs Debian's packages slurm-wlm and munge. Everything lies in one temporary folder; /etc/slurm
links to its configuration while the node is up, as Snakemake's plugin takes SLURM_CONF away from
its job steps. The GPU is a stand-in: /dev/null, which Slurm hands out as it would a device. There
is no accounting, so the plugin is told to ask squeue.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAMS = (
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "srun",
    "scontrol",
    "squeue",
    "scancel",
    "sinfo",
)
ETC = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/msock/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
MinJobAge=3600
KillWait=10
InactiveLimit=0
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES State=UP
PartitionName=gpu Nodes={host} State=UP
"""
GRES_CONF = "NodeName={host} Name=gpu Count=1 File=/dev/null\n"
CGROUP_CONF = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainCores=no\n"


def why_not() -> str:
    """Why no node can be started here, or ''."""
    if os.geteuid() != 0:
        return "a Slurm node can only be started as root"
    if missing := [
        name
        for name in PROGRAMS
        if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None
    ]:
        return f"{', '.join(missing)} not found: apt-get install slurm-wlm munge"
    if present := [str(ETC / name) for name in FILES if os.path.lexists(ETC / name)]:
        return f"{', '.join(present)}: this machine has a Slurm of its own"
    return ""


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def _stop(pid_file: Path) -> None:
    """End the daemon that wrote `pid_file`, and only that."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):  # it never started, or it is gone
        return


@contextlib.contextmanager
def node():
    """Start the node, yield its folder (logs), stop it. Raises RuntimeError with the daemons'
    last words if it does not come up."""
    if reason := why_not():
        raise RuntimeError(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-node-"))
    folder.chmod(0o755)
    for name, mode in {"state": 0o755, "spool": 0o755, "munge": 0o700, "msock": 0o755}.items():
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    key = folder / "munge/key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    host = socket.gethostname().partition(".")[0]
    values = {
        "host": host,
        "folder": folder,
        "ports": _free_ports(2),
        "cpus": os.cpu_count(),
        "memory": int(0.9 * _memory_mb()),
    }
    for name, text in zip(FILES, (SLURM_CONF, GRES_CONF, CGROUP_CONF), strict=True):
        (folder / name).write_text(text.format(**values))
    path = os.environ["PATH"]
    made = not ETC.exists()
    before = signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that the node is stopped then, too
    try:
        os.environ["PATH"] = f"{path}:/usr/sbin"
        ETC.mkdir(exist_ok=True)
        for name in FILES:
            (ETC / name).symlink_to(folder / name)
        of_munge = {
            "key-file": key,
            "socket": folder / "msock/munge",
            "seed-file": folder / "munge/seed",
        }
        of_munge |= {"pid-file": folder / "munge/pid", "log-file": folder / "munge/log"}
        for command in (
            ["munged", *(f"--{option}={value}" for option, value in of_munge.items())],
            ["slurmctld", "-i"],
            ["slurmd", "-N", host],
        ):
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        for _ in range(150):
            state = subprocess.run(
                ["sinfo", "-h", "-o", "%T"], capture_output=True, text=True
            ).stdout.split()
            if state and set(state) == {"idle"}:
                break
            time.sleep(0.2)
        else:
            logs = [
                (folder / name).read_text()[-1500:]
                for name in ("slurmctld.log", "slurmd.log")
                if (folder / name).exists()
            ]
            raise RuntimeError(f"the node is {state}, not idle\n" + "\n".join(logs))
        yield folder
    finally:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["scancel", "--user=root"], timeout=30)
            for _ in range(100):
                if not subprocess.run(
                    ["squeue", "-h"], capture_output=True, text=True, timeout=30
                ).stdout:
                    break
                time.sleep(0.2)
        for pid_file in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            _stop(folder / pid_file)
        for name in FILES:
            if (ETC / name).is_symlink() and Path(os.readlink(ETC / name)).parent == folder:
                (ETC / name).unlink()
        if made:
            with contextlib.suppress(OSError):
                ETC.rmdir()
        os.environ["PATH"] = path
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(f"error: {reason}")
    if len(sys.argv) < 2:
        sys.exit(
            "error: name a command to run on the node, as in: python tests/slurm_node.py sinfo"
        )
    with node():
        status = subprocess.run(sys.argv[1:]).returncode
    sys.exit(status)
