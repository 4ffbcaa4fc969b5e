"""Create, start, /bin/true, exit of one container: the kernel's floor, our runtime, crun, runc, podman; interleaved.

All get the same busybox, five namespaces, capabilities of a default pod and an allow-list of system calls. crun, runc and podman are
programs that run once for each container; ours is a library that asks the supervisor of a pod that is there already, which is
how the node uses it. What the pod itself costs is a row of its own, to be added for a pod with a single container.
"""
import json, os, random, re, shutil, subprocess, tarfile, tempfile
from table import BIN, HERE, ROOT, Skipped, Table, quantile, ratio

CAPABILITIES = ["CAP_" + c for c in "CHOWN DAC_OVERRIDE FSETID FOWNER SETGID SETUID SETPCAP NET_BIND_SERVICE KILL".split()]
# What a default profile keeps from containers; all other calls of this kernel's headers are allowed.
FORBIDDEN = set("""acct add_key bpf clock_adjtime clock_settime create_module delete_module finit_module fsconfig fsmount fsopen fspick
get_kernel_syms get_mempolicy init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages mount
mount_setattr move_mount move_pages name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open pivot_root process_madvise
ptrace query_module quotactl quotactl_fd reboot request_key set_mempolicy setdomainname sethostname setns settimeofday stime swapoff
swapon _sysctl sysfs syslog umount umount2 unshare uselib userfaultfd ustat vhangup vm86 vm86old io_uring_enter io_uring_register
io_uring_setup""".split())
BLOCKS = 10  # our program measures in blocks, between which the others run


def system_calls():
    """All names of the kernel's headers, by the preprocessor."""
    out = subprocess.run(["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], capture_output=True, text=True, check=True).stdout
    return sorted(set(re.findall(r"#define __NR_(\w+) ", out)) - FORBIDDEN)


def bundle_config(root, name):
    """An OCI bundle's config.json (runtime-spec 1.0) like that of a default pod's container."""
    def mount(destination, kind, source, *options):
        return dict(destination=destination, type=kind, source=source, options=list(options))
    sets = {s: CAPABILITIES for s in ("bounding", "effective", "permitted")}
    return dict(
        ociVersion="1.0.2", hostname="bench", root=dict(path=root, readonly=False),
        process=dict(terminal=False, user=dict(uid=0, gid=0), cwd="/", args=["/bin/true"], env=["PATH=/bin"],
                     noNewPrivileges=True, capabilities=sets),
        mounts=[mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
                mount("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755", "size=65536k"),
                mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
                mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
                mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
                mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro")],
        linux=dict(namespaces=[dict(type=t) for t in ("pid", "mount", "uts", "ipc", "network")], cgroupsPath=f"/{name}",
                   maskedPaths=["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
                   readonlyPaths=["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                   seccomp=dict(defaultAction="SCMP_ACT_ERRNO", syscalls=[dict(names=system_calls(), action="SCMP_ACT_ALLOW")])))


class Stopwatch:
    """stopwatch.c as a process in a mount namespace of its own."""

    def __init__(self, folder):
        if not shutil.which("gcc"):
            raise Skipped("no gcc for Benchmarks/stopwatch.c; on Debian: apt-get install gcc libc6-dev")
        program = f"{folder}/stopwatch"
        subprocess.run(["gcc", "-O2", "-Wall", "-o", program, f"{HERE}/stopwatch.c"], check=True)
        # crun refuses a host with both cgroup versions. In this private mount namespace an empty tmpfs hides the second one;
        # nothing is unmounted and nobody else sees it.
        hide = "[ ! -d /sys/fs/cgroup/unified ] || mount -t tmpfs none /sys/fs/cgroup/unified; "
        self.errors = open(f"{folder}/errors", "w+")
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", hide + f"exec {program}"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, bufsize=1)

    def time(self, command):
        """Wall ms, CPU ms, peak MB; or Skipped with what the program said."""
        self.process.stdin.write(command + "\n")
        answer = self.process.stdout.readline().split()
        if len(answer) != 4 or answer[3] != "0":
            self.errors.flush()
            said = open(self.errors.name).read().strip().splitlines()
            raise Skipped(f"{command[:60]}: {' '.join(answer)} {said[-1][:200] if said else ''}")
        wall, cpu, peak, _ = map(int, answer)
        return wall / 1e6, cpu / 1e3, peak / 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.errors.close()


def unpack_busybox(folder):
    """The test image's one layer as a folder."""
    subprocess.run([f"{ROOT}/scripts/make-test-image", "bench:1", f"{folder}/image.tar"], check=True)
    root = f"{folder}/root"
    os.mkdir(root)
    with tarfile.open(f"{folder}/image.tar") as image:
        layer = next(m for m in image if m.name.endswith("layer.tar"))
        with tarfile.open(fileobj=image.extractfile(layer)) as tar:
            tar.extractall(root)
    return root


class Ours:
    """ContainerStart of this package: it prints quantiles of a block of rounds."""

    def __init__(self):
        self.program, self.supervisor = f"{BIN}/ContainerStart", f"{BIN}/swiftlet-pod"
        for path in (self.program, self.supervisor):
            if not os.access(path, os.X_OK):
                raise Skipped(f"no {path}: swift build -c release --product {os.path.basename(path)}")
        self.blocks = []

    def block(self, rounds):
        done = subprocess.run([self.program, self.supervisor, str(rounds)], capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise Skipped("ContainerStart: " + (done.stderr.strip().splitlines() or ["failed"])[-1][:200])
        found = re.findall(r"^(.+): p50 ([\d.]+) ms, p90 ([\d.]+) ms", done.stdout, re.M)
        pss = re.search(r"supervisor PSS: (\d+) kB", done.stdout)
        self.blocks.append(({n: (float(a), float(b)) for n, a, b in found}, int(pss[1]) if pss else None))

    def figures(self, name):
        """Medians over the blocks of p50 and p90."""
        pairs = [b[0][name] for b in self.blocks if name in b[0]]
        return tuple(quantile([p[i] for p in pairs], 0.5) for i in (0, 1)) if pairs else None


def contestants(folder, root, tag):
    """(label, command of the stopwatch with {id}, share of the rounds) of what is installed."""
    found = [("raw floor: clone, pivot_root, exec, wait", f"floor {root}", 1), ("fork and exec alone", "spawn /bin/true", 1)]
    for name in ("crun", "runc"):
        program = shutil.which(name)
        if not program:
            print(f"{name} is not installed: left out")
            continue
        bundle, state = f"{folder}/{name}", f"{folder}/{name}-state"
        os.mkdir(bundle)
        with open(f"{bundle}/config.json", "w") as file:
            json.dump(bundle_config(root, f"{tag}-{name}"), file)
        version = re.search(r"[\d.]+\d", subprocess.run([program, "--version"], capture_output=True, text=True).stdout)
        found.append((f"{name} {version[0] if version else ''}", f"spawn {program} --root {state} run --bundle {bundle} {tag}-{{id}}", 0.5))
    if podman := shutil.which("podman"):
        found.append(("podman, no network", f"spawn {podman} --root {folder}/podman --runroot {folder}/podman-run run --rm "
                      f"--cgroups=disabled --network none --rootfs {root} /bin/true", 0.1))
    return found


def remove_cgroups(tag):
    """What a runtime that was killed may have left of its cgroups; all have our tag in their names."""
    for base in ("/sys/fs/cgroup", *(f"/sys/fs/cgroup/{n}" for n in os.listdir("/sys/fs/cgroup"))):
        if os.path.isdir(base) and os.access(base, os.W_OK):
            for name in os.listdir(base):
                if name.startswith(tag):
                    os.rmdir(os.path.join(base, name))


def run(options):
    rounds, tag = options.rounds or 100, f"swiftlet-bench-{os.getpid()}"
    folder = tempfile.mkdtemp(prefix="swiftlet-bench-")
    watch = None
    try:
        root, watch = unpack_busybox(folder), Stopwatch(folder)
        try:
            ours = Ours()
        except Skipped as reason:
            ours = print(f"our runtime is left out: {reason}")
        entries = contestants(folder, root, tag)
        for label, command, _ in list(entries):  # warm up, and drop what does not run here
            try:
                watch.time(command.replace("{id}", "warm"))
            except Skipped as reason:
                print(f"{label} is left out: {reason}")
                entries = [e for e in entries if e[0] != label]
        results = {label: [] for label, _, _ in entries}
        for block in range(BLOCKS):
            plan = [e for e in entries for _ in range(max(1, round(rounds * e[2] / BLOCKS)))]
            random.shuffle(plan)
            if ours:
                ours.block(max(10, rounds // BLOCKS))
            for number, (label, command, _) in enumerate(plan):
                results[label].append(watch.time(command.replace("{id}", f"{block}-{number}")))
    finally:
        if watch:
            watch.close()
        remove_cgroups(tag)
        shutil.rmtree(folder, ignore_errors=True)
    report(results, ours, rounds)


def report(results, ours, rounds):
    floor = next(quantile([v[0] for v in values], 0.5) for label, values in results.items() if label.startswith("raw floor"))
    own = ours.figures("create-start-exit") if ours else None
    table = Table("Containers: create, start, /bin/true, exit (interleaved)", "ms", "n", "p50", "p90", "CPU p50", "peak MB", "of the floor", "of ours")
    for label, values in results.items():
        wall = [v[0] for v in values]
        middle = quantile(wall, 0.5)
        # The peak memory of the floor is that of the stopwatch: it means nothing.
        peak = "" if label.startswith("raw") else f"{max(v[2] for v in values):.1f}"
        table.row(label, len(values), f"{middle:.2f}", f"{quantile(wall, 0.9):.2f}", f"{quantile([v[1] for v in values], 0.5):.1f}", peak,
                  ratio(middle, floor), ratio(middle, own[0]) if own else "")
    if own:
        table.row("swiftlet, in a pod that is there", rounds, f"{own[0]:.2f}", f"{own[1]:.2f}", "", "", ratio(own[0], floor), "1.00x")
        for name, label in (("start answered", "  of it until it runs"), ("removed", "  then: removing it"),
                            ("sandbox created", "  once for each pod: its sandbox")):
            if figures := ours.figures(name):
                table.row(label, "", f"{figures[0]:.2f}", f"{figures[1]:.2f}", "", "", ratio(figures[0], floor))
    table.print()
    if own:
        pss = [b[1] for b in ours.blocks if b[1]]
        print(f"  goal: at most 2.5 times the floor ({2.5 * floor:.2f} ms): " + ("met" if own[0] <= 2.5 * floor else f"missed by {own[0] - 2.5 * floor:.2f} ms")
              + (f"; the supervisor's PSS is {quantile(pss, 0.5)} KiB" if pss else ""))
