"""The system calls that a sandboxed program is refused: a filter for the kernel's seccomp, assembled here, without libseccomp.

Namespaces, mounts and resource limits are the boundary. The filter makes it thicker: no process is started, so nothing outlives or multiplies past a
limit (as root RLIMIT_NPROC binds nobody), and the parts of the kernel that escapes are usually made of cannot be reached. What it refuses fails with EPERM,
or with ENOSYS where libraries then do without. Numbers are those of Linux's `unistd_64.h` (x86-64) and `asm-generic/unistd.h` (AArch64).
"""

from __future__ import annotations

import platform
import struct

from ...graph.errors import UserError

REFUSED: dict[str, tuple[int | None, int | None]] = {
    # processes
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # namespaces and mounts
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "unshare": (272, 97),
    "setns": (308, 268),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # the keyring, which no namespace divides
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    # large attack surfaces of the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    "io_submit": (209, 2),
    "io_destroy": (207, 1),
    "io_getevents": (208, 4),
    "io_cancel": (210, 3),
    "io_pgetevents": (333, 292),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
    # sockets; a socket pair is allowed, for asyncio wakes itself by one
    "socket": (41, 198),
    "bind": (49, 200),
    "connect": (42, 203),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # memory that belongs to no address space, which no limit would count
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183),
    "mq_notify": (244, 184),
    "mq_getsetattr": (245, 185),
    "vmsplice": (278, 75),
    # attributes of files, whose values no limit counts; setxattrat (463) is newer than this table
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    # the machine
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "query_module": (178, None),
    "get_kernel_syms": (177, None),
    "personality": (135, 92),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    # files by handle, past their paths
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "mknod": (133, None),
    "mknodat": (259, 33),
    # placement of memory
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
}
"""Numbers on x86-64 and on AArch64 of what is refused whatever its arguments; None where there is no such call."""

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the tables, and the kernel's name (AUDIT_ARCH_*), by what `uname -m` says."""
_CLONE, _CLONE3, _SOCKETPAIR, _IOCTL = (56, 220), (435, 435), (53, 199), (16, 29)
_EXEC = ((59, 221), (322, 281))
_FIRST_UNKNOWN = 451
"""Calls from this number on are newer than this table: ENOSYS."""
_X32 = 0x40000000
_CLONE_THREAD = 0x10000
_AF_UNIX = 1
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: typing into the terminal."""

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _EAGAIN, _ENOSYS = 1, 11, 38
_LOAD, _EQUAL, _ABOVE, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`; arguments are 8 bytes each, of which the kernel reads the low 4 of those looked at here."""


def seccomp_filter(*, threads: bool = False, execute: bool = True, machine: str | None = None) -> bytes:
    """Return the filter as the kernel takes it: instructions (`struct sock_filter`) of 8 bytes each.

    Args:
        threads: whether threads may be started.
        execute: whether programs may be executed, as something has to be once where the filter is set before the interpreter starts.
        machine: what `uname -m` says; None asks.

    Raises:
        UserError: on a processor whose system calls are not tabled.
    """
    name = machine or platform.machine()
    if name not in _ARCHITECTURES:
        raise UserError(
            f"no table of system calls for the processor {name!r}; the sandbox runs on {', '.join(_ARCHITECTURES)}"
        )
    column, architecture = _ARCHITECTURES[name]
    refused = [numbers[column] for numbers in REFUSED.values()]
    refused += [] if execute else [numbers[column] for numbers in _EXEC]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if name == "x86_64":
        program += [(_ABOVE, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    program += [(_ABOVE, 0, 1, _FIRST_UNKNOWN), _fail(_ENOSYS)]
    program += _refuse(_CLONE3[column], _ENOSYS)
    for number in sorted(number for number in refused if number is not None):
        program += _refuse(number, _EPERM)
    program += _clone(_CLONE[column], threads)
    # a pair of sockets of one process; the argument is looked at with the number lost, so these come last and end in a verdict
    program += [(_EQUAL, 0, 4, _SOCKETPAIR[column]), (_LOAD, 0, 0, _ARGUMENT), (_EQUAL, 1, 0, _AF_UNIX)]
    program += [_fail(_EPERM), (_RETURN, 0, 0, _ALLOW)]
    program += [(_EQUAL, 0, 5, _IOCTL[column]), (_LOAD, 0, 0, _ARGUMENT + 8)]
    program += [(_EQUAL, 1, 0, _TERMINAL_INPUT[0]), (_EQUAL, 0, 1, _TERMINAL_INPUT[1]), _fail(_EPERM)]
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _clone(number: int, threads: bool) -> list[tuple[int, int, int, int]]:
    if not threads:
        return _refuse(number, _EAGAIN)
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _ARGUMENT),
        (_BITS, 1, 0, _CLONE_THREAD),
        _fail(_EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _refuse(number: int, error: int) -> list[tuple[int, int, int, int]]:
    return [(_EQUAL, 0, 1, number), _fail(error)]


def _fail(error: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ERRNO | error)
