"""How many cores and how much memory this process may take: affinity, containers' limits, the shell's.

A container, a hub or a batch system limits a process by cgroups (Linux, admin-guide/cgroup-v1 and cgroup-v2.rst), of
either version and several deep: a limit anywhere above a process holds for it. None of them changes what
os.cpu_count(), the affinity or /proc/meminfo show.
"""

import os
import pathlib
import resource

CGROUPS = pathlib.Path("/sys/fs/cgroup")
MOUNTS = pathlib.Path("/proc/self/mountinfo")
OWN = pathlib.Path("/proc/self/cgroup")
CACHES = ("inactive_file", "active_file")  # of files: given back when memory is wanted


def cores():
    """Number of cores that this process may use at a time, at least 1: its affinity, or a quota that is smaller.

    Returns
    -------
    int
        A quota of 1.5 cores counts as 1.
    """
    quotas = [quota for folder in _folders("cpu") if (quota := _quota(folder))]
    return max(1, int(min([len(os.sched_getaffinity(0)), *quotas])))


def free_memory():
    """Bytes that this process can still take: what the system calls available, or what a limit leaves.

    Returns
    -------
    int
        Never negative.
    """
    left = [_meminfo("MemAvailable")]
    left += [room for folder in _folders("memory") if (room := _room(folder)) is not None]
    for limit, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        if (most := resource.getrlimit(limit)[0]) != resource.RLIM_INFINITY:
            left.append(most - _kibibytes("/proc/self/status", used))
    return max(0, min(left))


def _kibibytes(path, name):
    """The bytes that a line "name:  123 kB" of a file of /proc says."""
    lines = pathlib.Path(path).read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _meminfo(name):
    return _kibibytes("/proc/meminfo", name)


def _folders(controller):
    """The folders of the cgroups that this process is in, each once: its own, and all above them."""
    mounts, paths = [CGROUPS, CGROUPS / "unified", *CGROUPS.glob(f"*{controller}*")], {"/"}
    for line in _lines(MOUNTS):  # where a system mounts them elsewhere
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup"):
            mounts.append(pathlib.Path(fields.split()[4]))
    for line in _lines(OWN):  # 0::/path of version 2, 4:cpu,cpuacct:/path of version 1
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            paths.add(path)
    found = {}
    for mount in mounts:
        for path in paths:
            own = mount / path.strip("/")
            found |= dict.fromkeys(each for each in (own, *own.parents) if each.is_relative_to(mount))
    return [folder for folder in found if folder.is_dir()]


def _lines(path):
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _words(folder, name):
    """The words of a file of a cgroup; none where it has no such file."""
    return " ".join(_lines(folder / name)).split()


def _numbers(folder, *names):
    """The number in each of a cgroup's files; None where one is missing, or says "max"."""
    found = [_words(folder, name) for name in names]
    return [int(words[0]) for words in found] if all(words and words[0].isdigit() for words in found) else None


def _quota(folder):
    """Cores that a cgroup's quota allows, a float; None where it sets none."""
    words = _words(folder, "cpu.max")  # version 2: "200000 100000" or "max 100000", microseconds
    numbers = list(map(int, words)) if len(words) == 2 and words[0].isdigit() else None
    numbers = numbers or _numbers(folder, "cpu.cfs_quota_us", "cpu.cfs_period_us")  # version 1; -1: none
    return numbers[0] / numbers[1] if numbers and numbers[0] and numbers[1] else None


def _room(folder):
    """Bytes that a cgroup's memory limit leaves; None where it sets none."""
    limits = [
        (_numbers(folder, limit, used))
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.high", "memory.current"),  # above it, the system takes memory back and the process crawls
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        )
    ]
    limits = [numbers for numbers in limits if numbers]
    if not limits:
        return None
    words = _words(folder, "memory.stat")
    kept = dict(zip(words[::2], words[1::2]))
    cache = sum(int(kept.get(f"total_{name}", kept.get(name, 0))) for name in CACHES)  # total_: version 1, all below
    return min(limit - used for limit, used in limits) + cache
