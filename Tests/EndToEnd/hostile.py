"""Clients that mean harm, or many: what they get and what they cost, over real sockets."""
import contextlib, http.client, resource, socket, ssl
from harness import *
from wire import *
from streams import credentials


def memory(node):
    """Bytes that the agent holds."""
    return int(open(f"/proc/{node.process.pid}/statm").read().split()[1]) * 4096


def raw(node, certificate=False):
    context = ssl._create_unverified_context()
    if certificate:
        context.load_cert_chain(*credentials(node))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", node.port), timeout=30))


@test
def thousands_of_idle_watches(node):
    """Each costs little, sees what it waits for, and is forgotten when it goes. The benchmark `idle_watches` opens ten thousand."""
    count = int(os.environ.get("SWIFTLET_E2E_WATCHES", "1000"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 500)), hard))
    api, sockets = Wire(node), []
    context = ssl._create_unverified_context()
    context.load_cert_chain(*credentials(node))
    api.ask("DELETE", "/api/v1/namespaces/default/configmaps/bell")
    version = api.get("/api/v1/namespaces/default/configmaps")["metadata"]["resourceVersion"]
    before = memory(node)
    try:
        for _ in range(count):
            s = context.wrap_socket(socket.create_connection(("127.0.0.1", node.port), timeout=60))
            s.sendall(f"GET /api/v1/namespaces/default/configmaps?watch=true&resourceVersion={version}&fieldSelector=metadata.name%3Dbell HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sockets.append(s)
        for s in sockets:
            got = b""
            while b"\r\n\r\n" not in got:
                got += s.recv(4096)
            expect(got.startswith(b"HTTP/1.1 200"), f"{got}")
        each = (memory(node) - before) / count
        expect(each < 120_000, f"a watch costs {each:.0f} bytes")
        begun = time.monotonic()
        api.get("/api/v1/namespaces/default/configmaps")
        expect(time.monotonic() - begun < 2, "others wait")
        api.post("/api/v1/namespaces/default/configmaps", dict(metadata=dict(name="bell")))
        begun = time.monotonic()
        for s in sockets:
            got = b""
            while b'"bell"' not in got:
                part = s.recv(65536)
                expect(part, "a watch ended")
                got += part
        expect(time.monotonic() - begun < 20, "the news comes late")
    finally:
        for s in sockets:
            s.close()
        api.ask("DELETE", "/api/v1/namespaces/default/configmaps/bell")
    eventually("their connections are gone", lambda: len(os.listdir(f"/proc/{node.process.pid}/fd")) < 400, 30)


@test
def silent_handshakes_and_slow_requests(node):
    """CVE-2026-73500: who connects and says nothing is sent away in ten seconds, and holds up nobody until then."""
    silent = [socket.create_connection(("127.0.0.1", node.port), timeout=30) for _ in range(300)]
    slow = [raw(node) for _ in range(20)]
    try:
        for s in slow:
            s.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        begun = time.monotonic()
        expect(Wire(node).get("/version")["major"] == "1" and time.monotonic() - begun < 2, "others wait")
        for s in silent:
            expect(s.recv(1) == b"", "a silent client got an answer")
        expect(time.monotonic() - begun < 14, f"after {time.monotonic() - begun:.0f} s")
        for s in slow:
            s.settimeout(60)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                got = s.recv(4096)
                expect(got == b"" or b" 408 " in got or b" 400 " in got, f"{got}")
    finally:
        for s in silent + slow:
            s.close()


@test
def bodies_that_are_too_large(node):
    """3 MiB and no more, whatever is said about their length; the connection's server stays."""
    api = Wire(node)
    for size, code in ((3 << 20, 413), (64 << 20, 413)):
        answer = None
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = api.ask("POST", "/api/v1/namespaces/default/configmaps", b'{"metadata":{"name":"large"},"data":{"a":"' + b"x" * size + b'"}}')
        expect(answer is None or answer.code == code, f"{size}: {answer and answer.code}")
    api = Wire(node)
    big = dict(metadata=dict(name="large"), data=dict(a="x" * 1_100_000))
    api.refused(422, "", "POST", "/api/v1/namespaces/default/configmaps", big)
    before = memory(node)
    for _ in range(20):
        api.ask("POST", "/api/v1/namespaces/default/configmaps", big)
    expect(memory(node) - before < 64 << 20, f"it keeps {(memory(node) - before) >> 20} MiB")


@test
def cve_2018_1002105_a_failed_upgrade_opens_no_door(node):
    node.apply(pod("door"))
    node.ready("door")
    try:
        for path in ("/api/v1/namespaces/default/pods/door/exec?container=none&command=id&stdout=true", "/api/v1/namespaces/default/pods/door/exec?stdout=true",
                     "/api/v1/namespaces/default/pods/door/portforward", "/api/v1/nodes/e2e/proxy/exec/default/door/none?command=id&output=1"):
            with raw(node, certificate=True) as s:
                s.settimeout(10)
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bad\r\n\r\n".encode())
                s.sendall(b"GET /runningpods/ HTTP/1.1\r\nHost: x\r\n\r\n")
                got = b""
                with contextlib.suppress(OSError):
                    while part := s.recv(65536):
                        got += part
                expect(b"PodList" not in got and got.count(b"HTTP/1.1 2") == 0, f"{path}: {got[:600]}")
    finally:
        node.out("delete", "pod", "door", "--now")


@test
def cve_2019_11248_nothing_is_open_to_strangers(node):
    """CVE-2025-46599 too: neither server tells or shows anything to who has no credentials."""
    for port, paths in ((node.port, ("/debug/pprof/", "/metrics", "/api/v1/secrets", "/apis", "/openapi/v2", "/logs", "/configz", "/flagz", "/debug/flags/v", "/swagger.json")),
                        (node.kubelet_port, ("/pods", "/runningpods/", "/exec/default/x/c", "/run/default/x/c", "/logs/", "/metrics", "/stats/summary", "/debug/pprof/", "/configz", "/containerLogs/default/x/c", "/checkpoint/default/x/c"))):
        for path in paths:
            for method in ("GET", "POST"):
                code = sh("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, f"https://127.0.0.1:{port}{path}")[1]
                expect(code in ("401", "403", "404", "405"), f"{method} {port}{path}: {code}")
                if port == node.kubelet_port:
                    expect(code == "401", f"{method} {port}{path}: {code}")
    expect(sh("curl", "-s", "-m", "3", f"http://127.0.0.1:10255/pods", check=False)[0] != 0, "the read-only port")


@test
def cve_2019_11250_secrets_stay_out_of_the_log(node):
    canary = base64.b64encode(os.urandom(12)).decode().replace("+", "x").replace("/", "y")
    api = Wire(node)
    token = api.post("/api/v1/namespaces/default/serviceaccounts/default/token", dict(spec=dict(expirationSeconds=600)))["status"]["token"]
    Wire(node, token).ask("GET", f"/api/v1/namespaces/default/pods?token={canary}")
    Wire(node, canary).ask("GET", "/api/v1/pods")
    api.post("/api/v1/namespaces/default/secrets", dict(metadata=dict(name="canary"), stringData=dict(a=canary)))
    api.ask("POST", "/api/v1/namespaces/default/secrets", dict(metadata=dict(name="Bad Name"), stringData=dict(a=canary)))
    api.ask("POST", "/api/v1/namespaces/default/secrets", '{"metadata":{"name":"x"},"stringData":{"a":"%s"' % canary)
    api.delete("/api/v1/namespaces/default/secrets/canary")
    metrics = api.ask("GET", "/metrics").data.decode()
    text = open(node.log).read() + metrics + node.out("get", "events", "-A", "-o", "json")
    for secret in (canary, token, token.split(".")[2]):
        expect(secret not in text, "a secret is in the log, the metrics or the events")
