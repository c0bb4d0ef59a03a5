"""Attacks on the Python sandbox, as a table: what each does, and how a program that does it may end.

A probe prints `ESCAPED` if it got what it was after and `blocked` if it was refused. One that is a bomb has no say: its status is what counts.
`HOST_...` words stand for what the test holds out as bait.
"""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = """
import os, sys

def attempt(do, *args):
    try:
        got = do(*args)
    except (OSError, RuntimeError, ImportError, EOFError, MemoryError, ValueError) as error:
        print("blocked", type(error).__name__, str(error)[:80])
    else:
        print("ESCAPED", repr(got)[:200])

def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    return os.write(fd, text)

def syscall(number, *args):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    got = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if got == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got

def sys_number(x86, arm):
    return x86 if os.uname().machine == "x86_64" else arm
"""


@dataclass(frozen=True, slots=True)
class Probe:
    name: str
    code: str
    ends: tuple[str, ...] = ("ok",)
    """Statuses that it may have."""
    blocked: bool = True
    """Whether it must say that it was refused."""


def _calls(**numbers: tuple[int, int, str]) -> list[Probe]:
    return [
        Probe(f"syscall-{name}", f"attempt(syscall, sys_number({x86}, {arm}), {arguments})")
        for name, (x86, arm, arguments) in numbers.items()
    ]


FILES = [
    Probe("read-passwd", "attempt(lambda: open('/etc/passwd').read())"),
    Probe("read-shadow", "attempt(lambda: open('/etc/shadow').read())"),
    Probe("read-secret", "attempt(lambda: open('HOST_SECRET').read())"),
    Probe("read-project", "attempt(lambda: open('HOST_PROJECT/pyproject.toml').read())"),
    Probe("list-home", "attempt(os.listdir, '/root')\nattempt(os.listdir, '/home')"),
    Probe("list-etc", "attempt(os.listdir, '/etc')"),
    Probe("list-sys", "attempt(os.listdir, '/sys')"),
    Probe("list-run", "attempt(os.listdir, '/run')\nattempt(os.listdir, '/var')"),
    Probe(
        "list-root",
        "extra = set(os.listdir('/')) - set('box dev lib lib64 opt proc tmp usr'.split())\nprint('ESCAPED' if extra else 'blocked', extra)",
    ),
    Probe(
        "list-devices",
        "extra = set(os.listdir('/dev')) - set('null zero random urandom'.split())\nprint('ESCAPED' if extra else 'blocked', extra)",
    ),
    Probe("programs", "attempt(os.listdir, '/usr/bin')\nattempt(os.listdir, '/bin')"),
    Probe("write-root", "attempt(open, '/x', 'w')"),
    Probe("write-usr", "attempt(open, '/usr/lib/x', 'w')"),
    Probe("write-dev", "attempt(open, '/dev/x', 'w')"),
    Probe("write-shm", "attempt(open, '/dev/shm/x', 'w')"),
    Probe("write-packages", "attempt(open, '/opt/packages/sitecustomize.py', 'w')\nattempt(open, '/opt/packages/mpmath/x', 'w')"),
    Probe("write-site-packages", "attempt(open, next(p for p in sys.path if p.startswith('/opt/python/lib/python')) + '/site-packages/x', 'w')"),
    Probe("write-library", "attempt(open, os.__file__, 'a')"),
    Probe("remove-library", "attempt(os.remove, os.__file__)\nattempt(os.rename, os.__file__, os.__file__ + 'x')\nattempt(os.chmod, os.__file__, 0o777)"),
    Probe(
        "only-box-writable",
        """
found = []
for folder, names, _ in os.walk('/'):
    names[:] = [n for n in names if os.path.join(folder, n) not in ('/proc', '/box')]
    try:
        open(os.path.join(folder, 'probe'), 'w').close()
    except OSError:
        continue
    found.append(folder)
print('ESCAPED' if found else 'blocked', found)
""",
    ),
    Probe("remount", "attempt(syscall, sys_number(165, 40), b'none', b'/', b'none', 32, b'')"),
    Probe("symlink", "os.symlink('/etc/passwd', 'link')\nattempt(lambda: open('link').read())"),
    Probe("hardlink", "attempt(os.link, os.__file__, '/box/link')"),
    Probe("dot-dot", "attempt(lambda: open('/box/../../../../etc/passwd').read())\nos.chdir('..')\nattempt(lambda: open('etc/passwd').read())"),
    Probe(
        "symlink-race",
        """
os.mkdir('a')
got = []
for turn in range(300):
    os.symlink('/etc/passwd' if turn % 2 else '/box/a', 'swap.new')
    os.rename('swap.new', 'swap')
    try:
        got.append(open('swap').read())
    except OSError:
        pass
print('ESCAPED' if got else 'blocked', len(got))
""",
    ),
    Probe("proc-root", "attempt(lambda: open('/proc/self/root/etc/passwd').read())\nattempt(lambda: open('/proc/1/root/etc/passwd').read())"),
    Probe("proc-cwd", "attempt(lambda: open('/proc/self/cwd/../etc/passwd').read())\nattempt(lambda: open('/proc/1/cwd/etc/passwd').read())"),
    Probe("device-mode", "attempt(os.chmod, '/dev/null', 0)"),
    Probe("device-node", "attempt(os.mknod, '/box/sda', 0o60600, os.makedev(8, 0))"),
    Probe("kernel-memory", "attempt(open, '/dev/mem', 'rb')\nattempt(open, '/dev/kmsg', 'rb')\nattempt(open, '/proc/kcore', 'rb')"),
    Probe("terminal", "attempt(open, '/dev/tty', 'rb')\nattempt(os.open, '/dev/ptmx', os.O_RDWR)"),
    Probe("import-project", "attempt(__import__, 'thoughtgraph')"),
    Probe("import-others", "attempt(__import__, 'sqlalchemy')\nattempt(__import__, 'pip')"),
    Probe("debugfs", "attempt(os.listdir, '/sys/kernel')\nattempt(os.open, '/proc/sys/kernel/core_pattern', os.O_WRONLY)"),
]  # fmt: skip

PROCESSES = [
    Probe("proc-others", "seen = [p for p in os.listdir('/proc') if p.isdigit()]\nprint('ESCAPED' if len(seen) > 2 else 'blocked', seen)"),
    Probe(
        "proc-environ",
        """
for pid in [p for p in os.listdir('/proc') if p.isdigit()] + ['self', 'thread-self']:
    try:
        text = open(f'/proc/{pid}/environ').read()
    except OSError as error:
        print('blocked', error)
    else:
        print('ESCAPED' if 'HOST_WORD' in text else 'blocked')
""",
    ),
    Probe("proc-cmdline", "text = open('/proc/1/cmdline').read()\nprint('ESCAPED' if 'pytest' in text or 'HOST_WORD' in text else 'blocked')"),
    Probe("proc-cmdline-paths", "text = open('/proc/1/cmdline').read()\nprint('ESCAPED' if 'HOST_LIBRARY' in text or '/lib/python' in text else 'blocked', text)"),
    Probe("boot-arguments", "text = open('/proc/cmdline').read()\nprint('ESCAPED' if text else 'blocked', text)"),
    Probe("proc-sysrq", "attempt(write, '/proc/sysrq-trigger', b'h')"),
    Probe("proc-sys", "attempt(write, '/proc/sys/vm/overcommit_memory', b'1')"),
    # of the same user it can be opened, but is confined as the program is: it has nothing to give
    Probe(
        "proc-first-process",
        """
text = open('/proc/1/status').read()
wanted = ['Seccomp:\\t2', 'NoNewPrivs:\\t1', 'CapEff:\\t0000000000000000', 'CapPrm:\\t0000000000000000']
print('blocked' if all(line in text for line in wanted) else 'ESCAPED', text)
""",
    ),
    Probe("proc-uid-map", "attempt(write, '/proc/self/uid_map', b'0 0 1')"),
    Probe("proc-oom", "attempt(write, '/proc/self/oom_score_adj', b'-1000')"),
    Probe("environment", "print('ESCAPED' if any('HOST_WORD' in v for v in os.environ.values()) else 'blocked', sorted(os.environ))"),
    Probe("fork", "attempt(os.fork)"),
    Probe("vfork", "attempt(os.posix_spawn, sys.executable, [sys.executable, '-c', '1'], {})"),
    Probe("subprocess", "import subprocess\nattempt(subprocess.run, [sys.executable, '-c', '1'])"),
    Probe("system", "attempt(lambda: os.system('id') and 1/0 if os.system('id') == 0 else (_ for _ in ()).throw(OSError('no shell')))"),
    Probe("multiprocessing", "import multiprocessing\nattempt(lambda: multiprocessing.Process(target=print).start())"),
    Probe("fork-bomb", "for _ in range(1000):\n    try:\n        os.fork()\n        print('ESCAPED')\n    except OSError:\n        pass\nprint('blocked')"),
    Probe("daemonise", "attempt(os.fork)\nattempt(os.setsid) if False else print('blocked')"),
    Probe("thread", "import threading\nattempt(threading.Thread(target=print).start)"),
    Probe("thread-bomb", "import _thread, time\nmade = 0\nfor _ in range(5000):\n    try:\n        _thread.start_new_thread(time.sleep, (9,))\n        made += 1\n    except RuntimeError:\n        pass\nprint('ESCAPED' if made else 'blocked', made)"),
    Probe("exec-program", "attempt(os.execv, '/usr/bin/id', ['id'])\nattempt(os.execv, '/bin/sh', ['sh'])"),
    Probe("exec-su", "attempt(os.execv, '/usr/bin/su', ['su'])\nattempt(os.execv, '/usr/bin/sudo', ['sudo', 'id'])"),
    Probe(
        "exec-again",
        "os.execv(sys.executable, [sys.executable, '-c', \"import os; print('again'); open('/etc/passwd'); os.fork(); print('ESCAPED')\"])",
        ("killed",),
        False,
    ),
    Probe("kill-host", "attempt(os.kill, HOST_PID, 9)"),
    Probe("kill-parent", "try:\n    os.kill(os.getppid(), 9)\nexcept OSError:\n    pass\nprint('blocked')", ("killed", "ok"), False),
    Probe("kill-all", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntry:\n    os.kill(-1, 15)\nexcept OSError as error:\n    pass\nprint('blocked')"),
    Probe("setuid", "attempt(os.setuid, 0)\nattempt(os.setgid, 0)\nattempt(os.setgroups, [0])"),
    Probe("whoami", "print('ESCAPED' if os.getuid() == 0 or os.geteuid() == 0 else 'blocked', os.getuid())"),
    Probe("capabilities", "text = open('/proc/self/status').read()\nheld = [l for l in text.splitlines() if l.startswith('CapEff')]\nprint('blocked' if int(held[0].split()[1], 16) == 0 else 'ESCAPED', held)"),
    Probe("no-new-privileges", "text = open('/proc/self/status').read()\nprint('blocked' if 'NoNewPrivs:\\t1' in text and 'Seccomp:\\t2' in text else 'ESCAPED')"),
    Probe("setuid-file", "import shutil\nshutil.copy(sys.executable, 'p')\nattempt(lambda: os.chown('p', 0, 0))"),
    Probe("nice", "attempt(os.nice, -5)\nattempt(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(10))"),
    Probe("raise-limits", "import resource\nattempt(resource.setrlimit, resource.RLIMIT_AS, (-1, -1))\nattempt(resource.prlimit, 0, resource.RLIMIT_NOFILE, (9999, 9999))"),
    Probe("hostname", "import socket\nattempt(socket.sethostname, 'x')\nprint('ESCAPED' if os.uname().nodename == 'HOST_NAME' else 'blocked')"),
    Probe(
        "descriptors",
        """
found = {}
for name in os.listdir('/proc/self/fd'):
    try:
        found[name] = os.readlink('/proc/self/fd/' + name)
    except OSError:
        continue
bad = {n: t for n, t in found.items() if not t.startswith(('pipe:', 'socket:', '/dev/null', '/proc/'))}
sockets = [t for t in found.values() if t.startswith('socket:')]
print('ESCAPED' if bad or len(sockets) > 1 else 'blocked', found)
""",
    ),
]  # fmt: skip

CALLS = _calls(
    clone=(56, 220, "17, 0, 0, 0, 0"),
    clone3=(435, 435, "0, 0"),
    ptrace_traceme=(101, 117, "0, 0, 0, 0"),
    ptrace_attach=(101, 117, "16, 1, 0, 0"),
    process_vm_readv=(310, 270, "1, 0, 0, 0, 0, 0"),
    process_vm_writev=(311, 271, "1, 0, 0, 0, 0, 0"),
    pidfd_getfd=(438, 438, "0, 0, 0"),
    mount=(165, 40, "b'none', b'/box', b'tmpfs', 0, b''"),
    umount=(166, 39, "b'/box', 2"),
    pivot_root=(155, 41, "b'/', b'/box'"),
    chroot=(161, 51, "b'/box'"),
    open_tree=(428, 428, "-100, b'/', 1"),
    fsopen=(430, 430, "b'tmpfs', 0"),
    unshare_user=(272, 97, "0x10000000"),
    unshare_mount=(272, 97, "0x20000"),
    setns=(308, 268, "0, 0"),
    keyctl=(250, 219, "0, -3, 1"),
    add_key=(248, 217, "b'user', b'k', b'v', 1, -3"),
    request_key=(249, 218, "b'user', b'k', 0, 0"),
    bpf=(321, 280, "0, 0, 0"),
    perf_event_open=(298, 241, "0, 0, 0, 0, 0"),
    userfaultfd=(323, 282, "1"),
    io_uring_setup=(425, 425, "8, b'\\0' * 200"),
    io_setup=(206, 0, "1, b'\\0' * 8"),
    memfd_create=(319, 279, "b'm', 0"),
    memfd_secret=(447, 447, "0"),
    shmget=(29, 194, "0, 1048576, 0o1600"),
    msgget=(68, 186, "0, 0o1600"),
    mq_open=(240, 180, "b'q', 66, 0o600, 0"),
    kexec_load=(246, 104, "0, 0, 0, 0"),
    reboot=(169, 142, "0xfee1dead, 672274793, 0, 0"),
    init_module=(175, 105, "0, 0, b''"),
    delete_module=(176, 106, "b'x', 0"),
    personality=(135, 92, "0x0040000"),
    open_by_handle_at=(304, 265, "0, b'\\0' * 64, 0"),
    name_to_handle_at=(303, 264, "-100, b'/box', b'\\0' * 200, b'\\0' * 8, 0"),
    syslog=(103, 116, "3, b'\\0' * 100, 100"),
    settimeofday=(164, 170, "b'\\0' * 16, 0"),
    swapon=(167, 224, "b'/box/x', 0"),
    type_into_terminal=(16, 29, "0, 0x5412, b'x'"),
    landlock=(444, 444, "0, 0, 1"),
    newer_than_known=(467, 467, "0, 0, 0"),
)

NETWORK = [
    Probe("tcp", "import socket\nattempt(socket.create_connection, ('127.0.0.1', HOST_PORT), 0.3)"),
    Probe("udp", "import socket\nattempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', HOST_PORT)))"),
    Probe("ipv6", "import socket\nattempt(lambda: socket.socket(socket.AF_INET6).connect(('::1', HOST_PORT)))"),
    Probe("unix", "import socket\nattempt(lambda: socket.socket(socket.AF_UNIX).connect('HOST_SOCKET'))"),
    Probe("abstract-unix", "import socket\nattempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0HOST_ABSTRACT'))"),
    Probe("pair-connect", "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\nattempt(a.connect, '\\0HOST_ABSTRACT')\nattempt(a.sendto, b'x', '\\0HOST_ABSTRACT')"),
    Probe("pair-inet", "import socket\nattempt(socket.socketpair, socket.AF_INET)"),
    Probe("dns", "import socket\nattempt(socket.getaddrinfo, 'example.org', 80)"),
    Probe("http", "import urllib.request\nattempt(urllib.request.urlopen, 'http://127.0.0.1:HOST_PORT/')"),
    Probe("listen", "import socket\nattempt(lambda: socket.create_server(('127.0.0.1', 0)))"),
    Probe("netlink", "import socket\nattempt(socket.socket, 16, socket.SOCK_RAW, 0)"),
    Probe("raw", "import socket\nattempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)"),
    Probe("packet", "import socket\nattempt(socket.socket, 17, socket.SOCK_RAW, 0)"),
    Probe("vsock", "import socket\nattempt(socket.socket, 40, socket.SOCK_STREAM)"),
    Probe("crypto-socket", "import socket\nattempt(socket.socket, 38, socket.SOCK_SEQPACKET)"),
    Probe("interfaces", "lines = open('/proc/net/dev').read().split('\\n')[2:]\nnames = [l.split(':')[0].strip() for l in lines if l]\nprint('ESCAPED' if set(names) - {'lo'} else 'blocked', names)"),
    Probe("connections", "lines = open('/proc/net/tcp').read().splitlines()[1:]\nprint('ESCAPED' if lines else 'blocked', lines)"),
    Probe(
        "channel",
        """
import socket, stat
wire = next(n for n in range(3, 64) if os.path.exists(f'/proc/self/fd/{n}') or 'socket' in os.readlink(f'/proc/self/fd/{n}'))
mine = socket.socket(fileno=os.dup(wire))
attempt(mine.connect, '\\0HOST_ABSTRACT')
attempt(mine.accept)
""",
    ),
]  # fmt: skip

STOPPED = ("timeout", "memory", "killed", "output", "error")
MEMORY = ("memory", "error", "timeout")
"""How what eats memory may end: a busy machine may need longer than its time limit to give it."""
BOMBS = [
    Probe("busy-loop", "while True: pass", ("timeout",), False),
    Probe("sleep", "import time\ntime.sleep(60)", ("timeout",), False),
    Probe("one-call", "3 ** (10 ** 9)", ("timeout", "memory"), False),
    Probe("regular-expression", "import re\nre.match('(a+)+$', 'a' * 50 + '!')", ("timeout",), False),
    Probe("stop-itself", "import signal\nos.kill(os.getpid(), signal.SIGSTOP)", ("timeout",), False),
    Probe("ignore-signals", "import signal\nfor n in range(1, 65):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\nwhile True: pass", ("timeout",), False),
    Probe("catch-everything", "while True:\n    try:\n        while True: pass\n    except BaseException: pass", ("timeout",), False),
    Probe("hang-in-del", "class A:\n    def __del__(self):\n        while True: pass\na = A()\nprint('blocked')"),
    Probe("hang-at-exit", "import atexit\n@atexit.register\ndef _():\n    while True: pass\nprint('blocked')"),
    Probe("hang-in-repr", "class A:\n    def __repr__(self):\n        while True: pass\nA()", ("timeout",), False),
    Probe("hang-in-error", "class A(Exception):\n    def __str__(self):\n        while True: pass\nraise A", ("timeout",), False),
    Probe("hang-in-flush", "class A:\n    def write(self, text): pass\n    def flush(self):\n        while True: pass\nsys.stdout = A()", ("timeout",), False),
    Probe("stdin", "attempt(input)\nprint('ESCAPED' if sys.stdin.read() else 'blocked')"),
    Probe("lists", "x = []\nwhile True: x.append(x[:] + [1] * 1000)", MEMORY, False),
    Probe("one-block", "x = bytearray(10 ** 10)", MEMORY, False),
    Probe("string", "x = 'x'\nwhile True: x += x", MEMORY, False),
    Probe("integer", "x = 1 << (10 ** 11)", MEMORY, False),
    Probe("mappings", "import mmap\nheld = []\nwhile True:\n    m = mmap.mmap(-1, 1 << 24)\n    m[:] = b'x' * (1 << 24)\n    held.append(m)", MEMORY, False),
    Probe("numpy-memory", "import numpy\nheld = []\nwhile True: held.append(numpy.ones(10 ** 7))", MEMORY, False),
    Probe("memory-caught", "held = []\nwhile True:\n    try:\n        held.append(bytearray(10 ** 6))\n    except MemoryError:\n        pass", ("timeout",), False),
    Probe("disk", "with open('f', 'wb') as f:\n    while True: f.write(b'x' * 10 ** 6)", ("error",), False),
    Probe("disk-files", "n = 0\nwhile True:\n    n += 1\n    open(f'f{n}', 'wb').write(b'x' * 10 ** 6)", ("error",), False),
    Probe("disk-mapped", "import mmap\nf = open('f', 'wb+')\nattempt(f.truncate, 10 ** 10)"),
    Probe("disk-sparse", "f = open('f', 'wb')\nattempt(lambda: os.posix_fallocate(f.fileno(), 0, 10 ** 9))"),
    Probe("temporary-folder", "attempt(lambda: [open(f'/tmp/{n}', 'wb').write(b'x' * 10 ** 6) for n in range(100)])"),
    Probe("open-files", "held = []\nattempt(lambda: [held.append(open('/dev/null')) for _ in range(1000)])"),
    Probe("pipes", "held = []\nattempt(lambda: [held.append(os.pipe()) for _ in range(1000)])"),
    Probe("recursion", "def f(n): return f(n + 1)\nf(0)", ("error",), False),
    Probe("stack", "sys.setrecursionlimit(10 ** 9)\ndef f(n): return [*map(f, [n])]\nf(0)", STOPPED, False),
    Probe("crash", "import ctypes\nctypes.string_at(0)", ("killed",), False),
    Probe("abort", "os.abort()", ("killed",), False),
    Probe("exit", "os._exit(0)", ("killed",), False),
    Probe("kill-itself", "os.kill(os.getpid(), 9)", ("killed", "ok"), False),
    Probe("close-everything", "os.closerange(0, 1000)\nwhile True: pass", ("killed", "timeout"), False),
    Probe("print-forever", "while True: print('x' * 1000)", ("output",), False),
    Probe("print-gigabyte", "for _ in range(1000): os.write(1, b'x' * 10 ** 6)", ("output",), False),
    Probe("errors-forever", "while True: os.write(2, b'x' * 1000)", ("output",), False),
    Probe("flood-channel", "for n in range(3, 60):\n    try:\n        while True: os.write(n, b'\\xff' * 10 ** 6)\n    except OSError:\n        pass", ("killed", "timeout"), False),
    Probe("huge-value", "'x' * 10 ** 8", ("ok", "memory"), False),
    Probe("nested-value", "x = [0]\nfor _ in range(40): x = [x, x]\nx", ("memory", "timeout"), False),
    Probe("huge-error", "raise ValueError('x' * 10 ** 7)", ("error", "memory"), False),
    Probe("core", "import resource\nprint('blocked' if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0) else 'ESCAPED')"),
    Probe("system-call-table-x32", "if os.uname().machine == 'x86_64':\n    syscall(0x40000000 + 39)\nelse:\n    os.abort()", ("killed",), False),
]  # fmt: skip

KERNEL = [
    Probe("attributes", "open('a', 'w').close()\nattempt(lambda: [os.setxattr('a', f'user.{n}', b'x' * 60000) for n in range(10 ** 5)])\nattempt(os.removexattr, 'a', 'user.0')"),
    Probe("many-files", "n = 0\nwhile True:\n    n += 1\n    open(f'f{n}', 'w').close()", ("files", "timeout"), False),
    Probe("many-folders", "n = 0\nwhile True:\n    n += 1\n    os.mkdir(f'd{n}')", ("files", "timeout"), False),
    Probe("many-long-names", "n = 0\nwhile True:\n    n += 1\n    os.mkdir(f'{n:0>250}')", ("files", "timeout"), False),
    Probe("many-symlinks", "n = 0\nwhile True:\n    n += 1\n    os.symlink('x' * 100, f's{n}')", ("files", "timeout"), False),
    Probe("many-hardlinks", "open('a', 'w').close()\nn = 0\nwhile True:\n    n += 1\n    os.link('a', f'l{n}')", ("files", "timeout"), False),
    Probe("deep-folders", "while True:\n    os.mkdir('d')\n    os.chdir('d')", ("files", "timeout"), False),
    Probe("files-in-tmp", "n = 0\nwhile True:\n    n += 1\n    os.mkdir(f'/tmp/d{n}')", ("files", "timeout"), False),
    Probe("file-locks", "import fcntl\nf = open('a', 'w')\nn = 0\nwhile True:\n    n += 2\n    fcntl.lockf(f, fcntl.LOCK_EX, 1, n)", ("timeout", "error"), False),
    Probe("missing-names", "n = 0\nwhile True:\n    n += 1\n    os.path.exists(f'/usr/lib/{n}')", ("timeout",), False),
    Probe("file-watches", "import ctypes\nlibc = ctypes.CDLL(None)\nwatch = libc.inotify_init()\nn = 0\nwhile True:\n    n += 1\n    os.mkdir(f'd{n}')\n    libc.inotify_add_watch(watch, f'd{n}'.encode(), 0xfff)", ("files", "timeout"), False),
]  # fmt: skip
"""What eats memory of the kernel, which no limit of a process counts."""

PROBES = [*FILES, *PROCESSES, *CALLS, *NETWORK, *BOMBS, *KERNEL]
