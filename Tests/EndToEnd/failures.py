"""What goes wrong: each of these is one clear message with a non-zero exit code, and loses nothing."""
import contextlib, hashlib, os, shutil, signal, socket, sqlite3, subprocess, time
from harness import *


@contextlib.contextmanager
def spare(index):
    """A node of its own beside the one of the other tests, taken down afterwards."""
    node = Node(index)
    try:
        yield node
    finally:
        node.stop()
        if os.path.exists(node.data):
            node.purge()
        shutil.rmtree(node.dir, ignore_errors=True)


@contextlib.contextmanager
def listening(host, port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, port))
        s.listen()
        yield


def refused(node, *words, options=(), program=None, code=1, timeout=20, command=None, **run):
    """`swiftlet up` ends by itself with this exit code and one line that has all these words. Returns the line."""
    command = command or [program or f"{BIN}/swiftlet", *node.up_command()[1:], *options]
    p = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, **run)
    expect(p.returncode == code, f"exit code {p.returncode}, not {code}: {p.stdout}{p.stderr}")
    lines = [l for l in p.stderr.split("\n") if l.startswith(("swiftlet: ", "Error: "))]
    expect(len(lines) == 1, f"not one message but {len(lines)}: {p.stderr}")
    expect("Traceback" not in p.stderr and "Fatal error" not in p.stderr, p.stderr)
    if code == 1:
        expect(p.stderr.strip() == lines[0], f"more than the message: {p.stderr}")
    expect(p.stdout == "", f"something on standard output: {p.stdout}")
    missing = [w for w in words if str(w) not in lines[0]]
    expect(not missing, f"{missing} not in: {lines[0]}")
    return lines[0]


def fingerprint(folder):
    """Every file below a folder with a hash of what is in it, but for those that say who runs."""
    result = {}
    for base, _, names in os.walk(folder):
        for name in names:
            if not name.endswith("lock"):
                path = os.path.join(base, name)
                result[os.path.relpath(path, folder)] = hashlib.sha256(open(path, "rb").read()).hexdigest()
    return result


def object_names(node):
    return {o["metadata"]["name"] for o in node.json("get", "configmaps")["items"]}


@test
def options_that_make_no_sense(_):
    node = Node(7)
    cases = [
        (["--pod-cidr", "nonsense"], ["--pod-cidr", "nonsense", "10.244.0.0/16"]),
        (["--service-cidr", "10.96.0.0/40"], ["--service-cidr", "10.96.0.0/40"]),
        (["--pod-cidr", "10.96.0.0/12", "--service-cidr", "10.96.0.0/16"], ["10.96.0.0/12", "10.96.0.0/16", "overlap"]),
        (["--listen", "nonsense"], ["--listen", "nonsense"]),
        (["--listen", "127.0.0.1:99999"], ["--listen", "99999"]),
        (["--node-ip", "300.1.1.1"], ["--node-ip", "300.1.1.1"]),
        (["--node-name", "Not_A_Name"], ["--node-name", "Not_A_Name", "lower-case"]),
        (["--interface-prefix", "much-too-long"], ["--interface-prefix", "1 to 7"]),
        (["--kubelet-port", "70000"], ["--kubelet-port", "70000"]),
        (["--log-level", "loud"], ["--log-level", "loud", "debug"]),
        (["--run-dir", "/tmp/" + 100 * "x"], ["--run-dir", "too long"]),
        (["--no-such-option"], ["--no-such-option"]),
    ]
    for options, words in cases:
        refused(node, *words, options=options, code=64)
        expect(not os.path.exists(node.data), f"{options} made {node.data}")
    shutil.rmtree(node.dir)


@test
def without_root(_):
    node = Node(7)
    for role in ("up", "agent", "down"):
        extra = ["--kubeconfig", "/nowhere"] if role == "agent" else []
        refused(node, "root", "sudo", command=[f"{BIN}/swiftlet", role, "--data-dir", node.data, *extra], user=65534, group=65534)
    shutil.rmtree(node.dir)


@test
def controllers_are_missing(_):
    """A directory that is no cgroup has no controllers, on every machine."""
    node = Node(7)
    command = [w for w in node.up_command() if w != "--allow-missing-controllers"] + ["--cgroup-root", f"{node.dir}/no-cgroup"]
    refused(node, "memory", "cpu", "pids", "--allow-missing-controllers", "systemd.unified_cgroup_hierarchy=1", command=command)
    shutil.rmtree(node.dir)


@test
def a_second_instance(_):
    with spare(7) as node:
        node.start()
        second = Node(8)
        try:
            refused(node, node.data, str(node.process.pid), "--data-dir")
            refused(second, node.run, str(node.process.pid), "--run-dir", options=["--run-dir", node.run])
            refused(second, node.prefix, "--interface-prefix", options=["--interface-prefix", node.prefix])
            down = [f"{BIN}/swiftlet", "down", "--data-dir", node.data]
            refused(node, str(node.process.pid), "Stop it first", command=down)
        finally:
            shutil.rmtree(second.dir)
        expect(node.is_ready(), "the first one suffered")


@test
def started_otherwise_than_before(_):
    """What an instance left in its places must not be lost sight of by starting it with others."""
    with spare(7) as node:
        node.start()
        node.stop()
        before = fingerprint(node.data)
        refused(node, "--pod-cidr", "10.207.0.0/16", "10.199.0.0/16", "--purge", options=["--pod-cidr", "10.199.0.0/16"])
        refused(node, "--service-cidr", options=["--service-cidr", "10.198.0.0/16"])
        refused(node, "--run-dir", "swiftlet down", options=["--run-dir", f"{node.dir}/elsewhere"])
        refused(node, "--interface-prefix", options=["--interface-prefix", "other"])
        expect(fingerprint(node.data) == before, "a refusal changed the data")
        node.start()
        node.stop()
        # `down` takes away what was started, whatever it is told, and then another place is free to choose.
        sh(f"{BIN}/swiftlet", "down", "--data-dir", node.data)
        expect(not os.path.exists(node.run), f"{node.run} is still there")
        node.run = f"{node.dir}/elsewhere"
        node.start()


@test
def ports_in_use(_):
    with spare(7) as node:
        with listening("127.0.0.1", node.port):
            refused(node, "API server", f"127.0.0.1:{node.port}", "Address already in use", "ss -ltnp", "--listen")
        with listening("0.0.0.0", node.kubelet_port):
            refused(node, "node's endpoint", str(node.kubelet_port), "Address already in use", "ss -ltnp", "--kubelet-port")
        refused(node, "192.0.2.1:6443", "--listen", options=["--listen", "192.0.2.1:6443"])
        node.start()


@test
def supervisor_is_missing(_):
    node = Node(7)
    shutil.copy(f"{BIN}/swiftlet", f"{node.dir}/swiftlet")
    refused(node, f"{node.dir}/swiftlet-pod", "missing", "scripts/build", program=f"{node.dir}/swiftlet")
    shutil.rmtree(node.dir)


@test
def kubeconfig_cannot_be_written(_):
    with spare(7) as node:
        os.makedirs(f"{node.dir}/folder")
        open(f"{node.dir}/file", "w").close()
        refused(node, f"{node.dir}/folder", "directory", "--kubeconfig", options=["--kubeconfig", f"{node.dir}/folder"])
        refused(node, f"{node.dir}/file", "--kubeconfig", options=["--kubeconfig", f"{node.dir}/file/kubeconfig"])
        expect(not os.path.exists(f"{node.dir}/folder.new"), "a half-written file is left")
        node.start()


@test
def database_is_damaged(_):
    with spare(7) as node:
        node.start()
        node.out("create", "configmap", "kept", "--from-literal=a=b")
        node.stop()
        path = f"{node.data}/state.db"
        whole = open(path, "rb").read()

        def page(content, number, bytes_):
            return content[:4096 * number] + bytes_ + content[4096 * number + len(bytes_):]
        damages = {
            "its beginning is noise": os.urandom(4096) + whole[4096:],
            "a page in its middle is noise": page(whole, 2, os.urandom(4096)),
            "its end is missing": whole[:8192],
            "another program's": None,
        }
        for what, content in damages.items():
            if content is None:
                os.remove(path)
                with contextlib.closing(sqlite3.connect(path)) as other:
                    other.execute("CREATE TABLE notes (text)")
                    other.commit()
            else:
                open(path, "wb").write(content)
            before = fingerprint(node.data)
            line = refused(node, path, timeout=30)
            expect("another program" in line if content is None else "damaged" in line and "backup" in line, f"{what}: {line}")
            after = fingerprint(node.data)
            changed = [n for n in before.keys() | after.keys() if before.get(n) != after.get(n)]
            expect(not changed, f"{what}: a refusal changed the data: {changed}")
        # A newer program's.
        open(path, "wb").write(whole)
        with contextlib.closing(sqlite3.connect(path)) as newer:
            newer.execute("PRAGMA user_version = 99")
        before = fingerprint(node.data)
        refused(node, path, "format 99", "newer")
        expect(fingerprint(node.data) == before, "a refusal changed the data")
        open(path, "wb").write(whole)
        node.start()
        expect("kept" in object_names(node), "the object is gone")


def authority(folder, name, starts=None, ends=None):
    """A certificate authority by openssl, with a P-256 key as ours has; times such as 20200101000000Z."""
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/openssl.cnf", "w") as file:
        file.write(f"[ca]\ndefault_ca = own\n[own]\ndir = {folder}\ndatabase = {folder}/index\nserial = {folder}/serial\n"
                   f"new_certs_dir = {folder}\ndefault_md = sha256\npolicy = any\nx509_extensions = authority\n[any]\ncommonName = supplied\n"
                   "[authority]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,digitalSignature\n"
                   "[req]\ndistinguished_name = dn\n[dn]\n")
    open(f"{folder}/index", "w").close()
    open(f"{folder}/serial", "w").write("01\n")
    key, request, certificate = f"{folder}/ca.key", f"{folder}/ca.csr", f"{folder}/ca.crt"
    sh("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    sh("openssl", "req", "-new", "-config", f"{folder}/openssl.cnf", "-key", key, "-subj", f"/CN={name}", "-out", request)
    sh("openssl", "ca", "-batch", "-notext", "-selfsign", "-config", f"{folder}/openssl.cnf", "-keyfile", key, "-in", request, "-out", certificate,
       "-startdate", starts or "20200101000000Z", "-enddate", ends or "20491231000000Z")
    return key, certificate


@test
def authority_is_not_ours(_):
    with spare(7) as node:
        node.start()
        node.stop()
        pki = f"{node.data}/pki"
        ours = {n: open(f"{pki}/{n}", "rb").read() for n in ("ca.crt", "ca.key")}
        foreign = authority(f"{node.dir}/foreign", "foreign")
        expired = authority(f"{node.dir}/expired", "expired", ends="20210101000000Z")
        early = authority(f"{node.dir}/early", "early", starts="20480101000000Z")

        def put(key, certificate):
            for name, source in (("ca.key", key), ("ca.crt", certificate)):
                if source is None:
                    os.remove(f"{pki}/{name}")
                else:
                    open(f"{pki}/{name}", "wb").write(open(source, "rb").read() if isinstance(source, str) else source)
        cases = [
            ((ours["ca.key"], foreign[1]), ["ca.crt", "does not belong to the key"]),
            (expired, ["ca.crt", "ended on 2021-01-01"]),
            (early, ["ca.crt", "2048-01-01", "clock"]),
            ((b"noise", ours["ca.crt"]), ["ca.key", "PEM"]),
            ((ours["ca.key"], b"noise"), ["ca.crt", "PEM"]),
            ((None, ours["ca.crt"]), ["ca.key", "missing"]),
        ]
        for (key, certificate), words in cases:
            put(ours["ca.key"], ours["ca.crt"])
            put(key, certificate)
            before = fingerprint(node.data)
            refused(node, *words, "backup")
            expect(fingerprint(node.data) == before, f"{words}: a refusal changed the data")
        # Of a lost certificate another one is made with the same key, which those who trust the lost one trust.
        put(ours["ca.key"], None)
        node.start()
        open(f"{node.dir}/lost.crt", "wb").write(ours["ca.crt"])
        server = node.json("config", "view")["clusters"][0]["cluster"]["server"]
        sh("curl", "-sf", "--cacert", f"{node.dir}/lost.crt", server + "/version")
        # An authority of somebody else's that is whole serves as well as one of our own.
        node.stop()
        put(*foreign)
        node.start()


@test
def ended_while_starting(_):
    with spare(7) as node:
        for milliseconds in (0, 5, 15, 30, 50, 80, 120, 160, 220, 300):
            node.start(wait=False)
            time.sleep(milliseconds / 1000)
            node.process.terminate()
            node.process.wait(10)
            text = open(node.log).read()
            expect("Fatal error" not in text and "swiftlet: " not in text, f"after {milliseconds} ms: {text[-500:]}")
            expect(node.process.returncode in (0, -signal.SIGTERM), f"after {milliseconds} ms: exit code {node.process.returncode}")
        node.start()
