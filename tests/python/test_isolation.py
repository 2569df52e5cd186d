"""What a candidate can reach from its process, layer by layer. Each attack is a real candidate.

A layer that this machine does not offer is not tested here; what ``Verdict.sandbox`` names holds.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_worker import PROBLEM, RIGHT, doing, processes_with, run

from kernelllm_jupyter.errors import CheckCancelled
from kernelllm_jupyter.values import Problem, Verdict
from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.isolation.layers import active_layers, how_to_get
from kernelllm_jupyter.verify.worker import shutdown, worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")

#: Runs each attempt and prints what became of it, one a line.
ATTEMPTS = """
import ctypes, os, resource, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def called(number):
    if number == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return number

def attempt(name, action):
    try:
        print("DONE", name, repr(action())[:200])
    except BaseException as error:
        print("REFUSED", name, type(error).__name__)
"""


def attempting(attempts: dict[str, str]) -> str:
    lines = [f"attempt({name!r}, lambda: {code})" for name, code in attempts.items()]
    return doing(ATTEMPTS + "\n".join(lines))


def outcome(attempts: dict[str, str], **options: object) -> tuple[Verdict, dict[str, str]]:
    """What became of each attempt. The candidate computes the right result besides; it is
    ``rejected`` where an attempt is seen as what it is, but that is not what keeps it harmless."""
    found = run(attempting(attempts), **options)
    assert found.verdict in ("correct", "rejected"), found
    last = [line.split(" ", 2) for line in found.output.splitlines() if line.startswith("DONE ")]
    last += [
        line.split(" ", 2) for line in found.output.splitlines() if line.startswith("REFUSED ")
    ]
    return found, {name: how for how, name, _ in last}


def assert_refused(attempts: dict[str, str]) -> None:
    found, outcomes = outcome(attempts)
    assert outcomes == dict.fromkeys(attempts, "REFUSED"), found.output


@pytest.fixture(scope="module")
def layers() -> tuple[str, ...]:
    return run(RIGHT).sandbox


@pytest.fixture(autouse=True)
def _the_next_check_works() -> Iterator[None]:
    yield
    assert run(RIGHT).verdict == "correct"


def needs(layers: tuple[str, ...], layer: str) -> None:
    if layer not in layers:
        pytest.skip(f"this machine has no layer {layer!r}")


def descendants(root: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


# --- other processes ---------------------------------------------------------------------------


def test_no_other_process_is_in_sight(layers: tuple[str, ...]) -> None:
    needs(layers, "no other processes in sight")
    found, _ = outcome({"processes": "[name for name in os.listdir('/proc') if name.isdigit()]"})
    assert "DONE processes ['1', '2']" in found.output


def test_no_other_process_can_be_read_traced_or_changed(layers: tuple[str, ...]) -> None:
    """By its number where it can be guessed: the caller's, the server's, the first one's."""
    needs(layers, "no system calls but for computing")
    attempts = {}
    for pid in (os.getpid(), os.getppid(), 1):
        attempts |= {
            f"environ-{pid}": f"open('/proc/{pid}/environ', 'rb').read()",
            f"memory-{pid}": f"open('/proc/{pid}/mem', 'r+b')",
            f"descriptors-{pid}": f"os.open('/proc/{pid}/fd/0', os.O_RDWR)",
            f"trace-{pid}": f"called(libc.ptrace(16, {pid}, 0, 0))",
            f"read-{pid}": f"called(libc.process_vm_readv({pid}, 0, 0, 0, 0, 0))",
            f"write-{pid}": f"called(libc.process_vm_writev({pid}, 0, 0, 0, 0, 0))",
            f"signal-{pid}": f"os.kill({pid}, 0)",
        }
    assert_refused(attempts)


def test_a_candidate_can_end_itself_and_nobody_else() -> None:
    found = run(doing("import os, signal\nos.kill(-1, signal.SIGKILL)\nos.kill(os.getpid(), 9)"))
    assert found.verdict in ("crashed", "runtime_error")
    before = worker("cpu").server
    assert run(RIGHT).correct
    assert worker("cpu").server is before


def test_a_candidate_holds_its_own_descriptors_only() -> None:
    held = (
        "[os.readlink(p) for p in __import__('glob').glob('/proc/self/fd/*') if os.path.lexists(p)]"
    )
    attempts = {"held": held}
    found, _ = outcome(attempts)
    line = next(line for line in found.output.splitlines() if line.startswith("DONE held"))
    assert line.count("socket:") == 1
    assert line.count("pipe:") == 2


def test_it_has_no_privileges(layers: tuple[str, ...]) -> None:
    needs(layers, "no system calls but for computing")
    found, _ = outcome(
        {"status": "open('/proc/self/status').read().split('CapEff:')[1].split()[0]"}
    )
    assert "DONE status '0000000000000000'" in found.output
    assert_refused(
        {
            "namespace": "called(libc.unshare(0x10000000))",
            "cloned": "called(libc.syscall(56, 0x10000011, 0, 0, 0, 0))"
            if os.uname().machine == "x86_64"
            else "called(libc.syscall(220, 0x10000011, 0, 0, 0, 0))",
            "mount": "called(libc.mount(b'x', b'/mnt', b'tmpfs', 0, None))",
            "root": "os.chroot('/')",
            "host": "socket.sethostname('x')",
            "clock": "time.clock_settime(time.CLOCK_REALTIME, 0)",
            "shared": "called(libc.shmget(0, 4096, 0o1600))",
        }
    )


# --- files -------------------------------------------------------------------------------------


def test_nothing_outside_its_folder_can_be_written_or_changed(
    layers: tuple[str, ...], tmp_path: Path
) -> None:
    needs(layers, "no writing outside its folder")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    victim.chmod(0o640)
    places = [str(tmp_path), tempfile.gettempdir(), "/dev/shm", "/var/tmp", "../..", sys.prefix]
    attempts = {f"new-{n}": f"open({place + '/kllm-new'!r}, 'w')" for n, place in enumerate(places)}
    attempts |= {
        "change": f"open({str(victim)!r}, 'r+')",
        "append": f"open({str(victim)!r}, 'a')",
        "delete": f"os.remove({str(victim)!r})",
        "truncate": f"os.truncate({str(victim)!r}, 0)",
        "rename": f"os.rename({str(victim)!r}, 'stolen')",
        "link": f"os.link({str(victim)!r}, 'link')",
        "folder": f"os.mkdir({str(tmp_path / 'folder')!r})",
        "symlink": f"(os.symlink({str(tmp_path)!r}, 'there'), open('there/kllm-new', 'w'))",
        "package": f"open({__file__!r}, 'a')",
        "oom": "open('/proc/self/oom_score_adj', 'w').write('-1000')",
    }
    if "read-only file system" in layers:
        attempts["mode"] = f"os.chmod({str(victim)!r}, 0o777)"
        attempts["time"] = f"os.utime({str(victim)!r}, (0, 0))"
        attempts["owner"] = f"os.chown({str(victim)!r}, 1, 1)"
    before = victim.stat()
    assert_refused(attempts)
    after = victim.stat()
    assert victim.read_text() == "mine"
    assert (after.st_mode, after.st_uid, after.st_mtime) == (
        0o100640,
        before.st_uid,
        before.st_mtime,
    )
    for place in places:
        assert not Path(place, "kllm-new").exists()


def test_what_the_user_keeps_cannot_be_read(layers: tuple[str, ...], tmp_path: Path) -> None:
    needs(layers, "no reading of private files")
    secret = tmp_path / ".netrc"
    secret.write_text("password")
    assert_refused(
        {
            "home": f"os.listdir({str(Path.home())!r})",
            "file": f"open({str(secret)!r}).read()",
            "folder": f"os.listdir({str(tmp_path)!r})",
            "temporary": f"os.listdir({tempfile.gettempdir()!r})",
            "through": f"(os.symlink({str(secret)!r}, 'link'), open('link').read())",
            "here": f"os.listdir({str(Path.cwd())!r})",
            "tests": f"open({__file__!r}).read()",
        }
    )


def test_the_reference_cannot_be_read(layers: tuple[str, ...]) -> None:
    needs(layers, "no reading of private files")
    beside = "os.getcwd().replace('/candidate/home', '/referee')"
    assert_refused({"folder": f"os.listdir({beside})", "file": f"open({beside} + '/reference.py')"})


def test_python_torch_and_the_compilers_can_be_read() -> None:
    _, outcomes = outcome(
        {
            "module": "__import__('wave')",
            "package": "__import__('numpy.polynomial')",
            "torch": "__import__('torch.fft').fft.fft(x)",
            "source": "__import__('inspect').getsource(torch.nn.Linear)",
            "program": "__import__('subprocess').run(['true'], check=True)",
            "thread": "__import__('threading').Thread(target=int).start()",
            "own": "open('own', 'w').write('x') and open('own').read()",
            "temporary": "__import__('tempfile').TemporaryFile()",
            "folder": "__import__('tempfile').mkdtemp()",
            "null": "open('/dev/null', 'w').write('x')",
            "random": "os.urandom(4)",
            "zone": "time.localtime()",
            "processors": "os.cpu_count()",
        }
    )
    assert set(outcomes.values()) == {"DONE"}, outcomes


def test_files_without_end_are_stopped() -> None:
    filling = """
        import os, time
        for n in range(8):
            with open(f"file-{n}", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 512 << 20)
        time.sleep(30)
        """
    found = run(doing(filling), timeout_s=60.0)
    assert (found.verdict, found.reasons[0].code) == ("crashed", "too_much_written")


def test_very_many_files_are_stopped() -> None:
    found = run(doing("for n in range(10_000_000): open(f'file-{n}', 'w').close()"), timeout_s=60.0)
    assert (found.verdict, found.reasons[0].code) == ("crashed", "too_much_written")


def test_nothing_is_left_behind() -> None:
    def counted() -> tuple[int, int, int]:
        server = worker("cpu")
        assert server.home is not None
        assert server.server is not None
        return (
            len(list(server.home.iterdir())),
            len(os.listdir("/proc/self/fd")),
            len(descendants(server.server.pid)),
        )

    def counted_when(ready: Callable[[], bool]) -> tuple[int, int, int]:
        """The counts once ``ready``: a server makes its next standby after it has answered."""
        deadline = time.monotonic() + 30.0
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.02)
        return counted()

    def standby_made() -> bool:
        """Whether a pair waits whose two processes reported their start by their folders."""
        server = worker("cpu")
        assert server.home is not None
        now = counted()
        time.sleep(0.2)
        return len(list(server.home.glob("kernelllm-check-*/*/home"))) == 2 and counted() == now

    leaving = """
        import os, subprocess
        if not os.path.exists("a"):
            os.makedirs("a/b/c")
            open("a/b/c/file", "w").close()
            os.chmod("a/b", 0)
        subprocess.Popen(["sleep", "98770"], start_new_session=True)
        """
    assert run(RIGHT).correct
    before = counted_when(standby_made)
    for _ in range(3):
        assert run(doing(leaving)).verdict == "rejected"
    assert run(doing("import os; os._exit(1)")).verdict == "crashed"
    assert run(RIGHT).correct
    assert counted_when(lambda: counted() == before) == before
    assert processes_with("98770") == []


def test_what_is_started_beside_a_check_holds_nothing_of_it(layers: tuple[str, ...]) -> None:
    """Else its caller would wait for the other's end as well."""
    needs(layers, "no other processes in sight")
    cancel = threading.Event()
    server = worker("cpu")
    assert server.home is not None
    assert server.server is not None
    root = server.server.pid

    def keepers() -> list[int]:
        return [pid for pid in descendants(root) if pid in processes_with("sleep\0001000000000")]

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(run, doing("while True: pass"), cancel=cancel)
        deadline = time.monotonic() + 30.0
        while len(keepers()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            held = [set(os.listdir(f"/proc/{pid}/fd")) for pid in keepers()]
        finally:
            cancel.set()
        with pytest.raises(CheckCancelled):
            hanging.result()
    assert held == [{"0", "1", "2"}] * 2


# --- network and secrets -----------------------------------------------------------------------


def test_no_socket_of_the_machine_can_be_reached(layers: tuple[str, ...], tmp_path: Path) -> None:
    needs(layers, "no sockets")
    with socket.socket(socket.AF_UNIX) as named, socket.socket(socket.AF_UNIX) as abstract:
        place = tempfile.mktemp(dir="/tmp")
        named.bind(place)
        named.listen()
        abstract.bind("\0kernelllm-test")
        abstract.listen()
        try:
            assert_refused(
                {
                    "tcp": "socket.create_connection(('127.0.0.1', 9), 2)",
                    "udp": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
                    "udp6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
                    "raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
                    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
                    "packet": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
                    "name": "socket.getaddrinfo('example.org', 80)",
                    "named": f"socket.socket(socket.AF_UNIX).connect({place!r})",
                    "abstract": "socket.socket(socket.AF_UNIX).connect('\\0kernelllm-test')",
                    "pair": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0]"
                    f".sendto(b'x', {place!r})",
                }
            )
        finally:
            os.remove(place)


def test_secrets_are_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    shutdown()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-user")
    reading = """
        import glob, os
        for place in ["/proc/self/environ", *glob.glob("/proc/*/environ")]:
            try:
                print(open(place, "rb").read())
            except OSError:
                pass
        print(dict(os.environ))
        """
    found = run(doing(reading))
    assert found.correct
    assert "sk-of-the-user" not in found.output


# --- too much of everything --------------------------------------------------------------------


@pytest.mark.parametrize(
    "statements",
    [
        # Bounded, so that a machine survives the day when the containment does not.
        "import os\nfor _ in range(12): os.fork()\nwhile True: pass",
        """
        import os, time
        for _ in range(400):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.setsid()
                    time.sleep(60)
                os._exit(0)
        time.sleep(60)
        """,
        """
        import threading, time
        for _ in range(400):
            threading.Thread(target=time.sleep, args=(60,)).start()
        """,
    ],
    ids=["fork bomb", "daemons", "threads"],
)
def test_a_crowd_is_ended(statements: str) -> None:
    found = run(doing(statements), timeout_s=30.0)
    assert found.verdict in ("crashed", "runtime_error", "out_of_memory"), found
    if found.verdict == "crashed":
        assert found.reasons[0].code == "too_many_processes"


@pytest.mark.parametrize(
    "statements",
    [
        "import mmap\nkeep = [mmap.mmap(-1, 64 << 20) for _ in range(64)]",
        """
        import os, time
        keep = []
        for n in range(16):
            keep.append(os.memfd_create(str(n)))
            os.write(keep[-1], b"x" * (64 << 20))
        time.sleep(30)
        """,
        "x.new_empty(1 << 38)",
        "b'x' * (1 << 40)",
        "keep = [list(range(1 << 20)) for _ in range(1 << 10)]",
    ],
    ids=["maps", "anonymous files", "tensor", "bytes", "objects"],
)
def test_memory_is_bounded_wherever_it_is(statements: str) -> None:
    found = run(doing(statements), timeout_s=60.0, memory_mb=500)
    assert found.verdict in ("out_of_memory", "runtime_error"), found
    assert "memory" in found.reasons[0].message.lower() or "MB" in found.reasons[0].message


# --- ways to end, and ways not to --------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "verdict", "code"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "crashed", "sigkill"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "timeout", "timeout"),
        ("import os; os._exit(1)", "crashed", "exit"),
        ("import threading; threading.Event().wait()", "timeout", "timeout"),
        (
            "import signal, time\nfor n in range(1, 32):\n"
            "    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\ntime.sleep(60)",
            "timeout",
            "timeout",
        ),
        (
            "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
            "timeout",
            "timeout",
        ),
        ("import ctypes; ctypes.PyDLL(None).sleep(60)", "timeout", "timeout"),
        ("def deep(n): return deep(n + 1)\ndeep(0)", "runtime_error", "exception"),
        (
            "import sys\nsys.setrecursionlimit(10**9)\ndeep = lambda n: repr(deep(n + 1))\ndeep(0)",
            None,
            None,
        ),
        ("class Bad(Exception):\n    __str__ = None\nraise Bad()", "runtime_error", "exception"),
        (
            "class Bad(Exception):\n    def __str__(self): raise SystemExit(0)\nraise Bad()",
            "runtime_error",
            "exception",
        ),
        (
            "class Bad(BaseException):\n    def __str__(self): return '<b>' * 10**7\nraise Bad()",
            "runtime_error",
            "exception",
        ),
        ("import warnings\nfor n in range(5000): warnings.warn('w' * n)", "correct", None),
        ("import atexit, time; atexit.register(time.sleep, 60)", "correct", None),
    ],
)
def test_every_end_has_its_verdict(statements: str, verdict: str | None, code: str | None) -> None:
    found = run(doing(statements), timeout_s=4.0)
    if verdict is None:
        assert not found.correct
        return
    assert found.verdict == verdict, found
    if code is not None:
        assert found.reasons[0].code == code


@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        (RIGHT + "\nimport sys; sys.exit(0)\n", "runtime_error"),
        (RIGHT + "\nimport os; os._exit(0)\n", "crashed"),
        (RIGHT + "\nimport time; time.sleep(60)\n", "timeout"),
        (
            RIGHT + "\nimport sys\nModelNew.__init__ = lambda self: sys.exit(0)\n",
            "runtime_error",
        ),
        (
            RIGHT
            + textwrap.dedent(
                """
                class Last:
                    def __del__(self):
                        import time
                        time.sleep(60)
                last = Last()
                """
            ),
            "correct",
        ),
    ],
)
def test_an_end_outside_forward_has_its_verdict(source: str, verdict: str) -> None:
    assert run(source, timeout_s=4.0).verdict == verdict


def test_a_reference_cannot_write_outside_its_folder_by_accident(
    layers: tuple[str, ...], tmp_path: Path
) -> None:
    needs(layers, "no writing outside its folder")
    from test_worker import reference

    spoiled = tmp_path / "spoiled"
    source = reference(forward=f"open({str(spoiled)!r}, 'w'); return torch.relu(x + y)")
    with pytest.raises(Exception, match="Permission denied|Read-only"):
        check(Problem(source, "Model", has_init_inputs=False), RIGHT, device="cpu")
    assert not spoiled.exists()


# --- the children of a GPU, here with the interpreter in them ----------------------------------


def test_spawned_children_are_confined_too(layers: tuple[str, ...], tmp_path: Path) -> None:
    needs(layers, "no writing outside its folder")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    attempts = {
        "read": f"open({str(victim)!r}).read()",
        "write": f"open({str(victim)!r}, 'a')",
        "new": "open('/dev/shm/kllm-new', 'w')",
        "home": f"os.listdir({str(Path.home())!r})",
        "reference": "os.listdir(os.getcwd().replace('/candidate/home', '/referee'))",
        "processes": "os.listdir('/proc')",
        "parent": "open(f'/proc/{os.getppid()}/cmdline').read()",
        "trace": "called(libc.ptrace(16, os.getppid(), 0, 0))",
        "signal": "os.kill(os.getppid(), 0)",
        "priority": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 1)",
        "processors": "os.sched_setaffinity(os.getppid(), {0})",
        "limits": "resource.prlimit(os.getppid(), resource.RLIMIT_CPU)",
        "socket": "socket.socket()",
        "named": "socket.socket(socket.AF_UNIX)",
        "mount": "called(libc.mount(b'x', b'/mnt', b'tmpfs', 0, None))",
    }
    try:
        found = check(PROBLEM, attempting(attempts), device="spawned-cpu")
        for name in attempts:
            assert f"REFUSED {name} " in found.output, (name, found)
        assert "DONE" not in found.output
        assert set(found.sandbox) < set(layers)
        assert check(PROBLEM, RIGHT, device="spawned-cpu").correct
    finally:
        worker("spawned-cpu").stop()
    assert victim.read_text() == "mine"


# --- what is said about it ---------------------------------------------------------------------


def test_the_doctor_names_the_layers_that_a_check_has(layers: tuple[str, ...]) -> None:
    assert set(active_layers()) == set(layers) - {"memory limit"}


def test_every_missing_layer_has_its_remedy() -> None:
    assert how_to_get(active_layers()) == [] or all(": needs " in m for m in how_to_get([]))
    namespaces, landlock, seccomp = how_to_get(["bounded output"])
    assert namespaces.startswith("no network, no other processes in sight")
    assert "Linux 5.13" in landlock
    assert "x86-64" in seccomp
