"""What goes through the API server to pods and kubelets: logs over WebSockets, pages through the proxy, paths of the kubelet."""
import base64, socket, ssl, struct
from harness import *


def credentials(node):
    """An administrator's certificate and key as files."""
    user = node.json("config", "view", "--raw")["users"][0]["user"]
    paths = [f"{node.dir}/stream.crt", f"{node.dir}/stream.key"]
    for path, field in zip(paths, ("client-certificate-data", "client-key-data")):
        with open(path, "wb") as file:
            file.write(base64.b64decode(user[field]))
    return paths


def web_socket(node, path, *protocols, certificate=True):
    """The head of the answer, and the messages until the server closes, each as (opcode, bytes)."""
    context = ssl._create_unverified_context()
    if certificate:
        context.load_cert_chain(*credentials(node))
    with context.wrap_socket(socket.create_connection(("127.0.0.1", node.port), timeout=20)) as connection:
        offer = f"Sec-WebSocket-Protocol: {', '.join(protocols)}\r\n" if protocols else ""
        connection.sendall((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n").encode())
        stream = connection.makefile("rb")
        head = b"".join(iter(stream.readline, b"\r\n")).decode()
        messages = []
        while head.startswith("HTTP/1.1 101"):
            first, length = stream.read(2)
            if length == 126:
                length = struct.unpack(">H", stream.read(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", stream.read(8))[0]
            messages.append((first & 15, stream.read(length)))
            if first & 15 == 8:
                break
        return head, messages


@test
def logs_over_web_sockets(node):
    node.apply(pod("talker", ["sh", "-c", "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i + 1)); done; exec sleep 3600"]))
    node.ready("talker")
    path = "/api/v1/namespaces/default/pods/talker/log?container=c"
    wanted = "".join(f"line {i}\n" for i in range(500)).encode()
    eventually("the log is complete", lambda: node.out("logs", "talker").encode() == wanted, 20)
    for protocols, opcode, decode in ((["binary.k8s.io"], 2, bytes), (["base64.binary.k8s.io"], 1, base64.b64decode), ([], 2, bytes)):
        head, messages = web_socket(node, path, *protocols)
        expect(("Sec-WebSocket-Protocol: " + protocols[0] in head) if protocols else "Sec-WebSocket-Protocol" not in head, head)
        *data, end = messages
        expect(all(m[0] == opcode for m in data) and b"".join(decode(m[1]) for m in data) == wanted, f"{protocols}: {data[:3]}")
        expect(end == (8, b"\x03\xe8"), f"{end}")
    expect(web_socket(node, path, "nonsense.k8s.io")[0].startswith("HTTP/1.1 403"), "an unknown subprotocol")
    # A browser's token among the subprotocols.
    token = node.out("create", "token", "default").strip()
    bearer = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    expect(web_socket(node, path, bearer, "binary.k8s.io", certificate=False)[0].startswith("HTTP/1.1 403"), "the account has no right")
    node.out("create", "rolebinding", "reads-logs", "--clusterrole=view", "--serviceaccount=default:default")
    head, messages = web_socket(node, path, bearer, "binary.k8s.io", certificate=False)
    expect(head.startswith("HTTP/1.1 101") and token not in head and bearer not in head and len(messages) > 2, head)
    expect(web_socket(node, path, bearer + "x", "binary.k8s.io", certificate=False)[0].startswith("HTTP/1.1 401"), "a wrong token")
    head, messages = web_socket(node, "/api/v1/namespaces/default/pods?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dtalker")
    expect(messages[0][0] == 1 and json.loads(messages[0][1])["type"] == "ADDED" and messages[-1][0] == 8, f"a watch: {head} {messages[:1]}")
    node.out("delete", "rolebinding", "reads-logs")
    node.out("delete", "pod", "talker", "--now")


@test
def options_of_logs(node):
    node.apply(pod("brief", ["sh", "-c", "echo a; exec sleep 3600"]))
    node.ready("brief")
    for query, text in (("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"), ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
                        ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
                        ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", "at most one of `sinceTime` or `sinceSeconds` may be specified")):
        code, _, err = node.kubectl("get", "--raw", f"/api/v1/namespaces/default/pods/brief/log?{query}", check=False)
        expect(code != 0 and text in err, f"{query}: {err}")
    node.out("delete", "pod", "brief", "--now")


@test
def pages_through_the_proxy(node):
    page = '<html><a href="/rewriteme?proxyTest=true">x</a><img src=/i.png><a href="there">y</a><script>var a = "<a href=/no>";</script></html>'
    node.apply(pod("pages", ["sh", "-c", f"mkdir -p /w/sub; cat > /w/index.html <<'END'\n{page}\nEND\nexec busybox httpd -f -p 8080 -h /w"],
                   container=dict(ports=[dict(containerPort=8080)])))
    node.apply(dict(apiVersion="v1", kind="Service", metadata=dict(name="pages"), spec=dict(selector=dict(app="pages"), ports=[dict(name="http", port=80, targetPort=8080)])))
    node.ready("pages")
    for what in ("pods/pages:8080", "pods/http:pages:8080", "pods/pages", "services/pages:http", "services/pages:80", "services/http:pages:http"):
        prefix = f"/api/v1/namespaces/default/{what}/proxy"
        got = eventually(what, lambda: node.out("get", "--raw", prefix + "/").strip(), 20)
        expect(got == page.replace('"/rewriteme', f'"{prefix}/rewriteme').replace("src=/", f"src={prefix}/"), f"{what}: {got}")
    certificate = credentials(node)
    head = lambda path: sh("curl", "-sSk", "--cert", certificate[0], "--key", certificate[1], "-o", "/dev/null", "-D", "-", f"https://127.0.0.1:{node.port}{path}")[1]
    prefix = "/api/v1/namespaces/default/services/pages:http/proxy"
    expect("301" in head(prefix + "?a=b").split("\n")[0] and f"ocation: {prefix}/?a=b" in head(prefix + "?a=b"), head(prefix + "?a=b"))
    # The pod's own redirection to a directory leads through the proxy as well.
    moved = head(prefix + "/sub")
    expect(" 30" in moved.split("\n")[0] and f"ocation: {prefix}/sub/" in moved, moved)
    node.out("delete", "service/pages", "pod/pages", "--now")


@test
def paths_of_the_kubelet(node):
    raw = lambda path: node.out("get", "--raw", f"/api/v1/nodes/e2e/proxy/{path}")
    expect(json.loads(raw("configz"))["kubeletconfig"]["maxPods"] == 110, "configz")
    expect(json.loads(raw("pods"))["kind"] == "PodList" and json.loads(raw("stats/summary"))["node"]["nodeName"] == "e2e", "pods or statistics")
    for path, text in (("metrics", "kubelet_node_name"), ("metrics/cadvisor", "machine_cpu_cores"), ("metrics/resource", "node_cpu_usage_seconds_total"), ("healthz", "ok"), ("logs/", "<pre>")):
        expect(text in raw(path), path)


@test
def what_joining_machines_read(node):
    data = lambda: node.json("get", "configmap", "cluster-info", "-n", "kube-public")["data"]
    expect(f"server: https://127.0.0.1:{node.port}\n" in eventually("cluster-info is there", data, 20)["kubeconfig"], f"{data()}")
    secret = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", "usage-bootstrap-authentication": "true"}
    node.apply(dict(apiVersion="v1", kind="Secret", type="bootstrap.kubernetes.io/token", metadata=dict(name="bootstrap-token-abcdef", namespace="kube-system"), stringData=secret))
    eventually("it is signed", lambda: data().get("jws-kubeconfig-abcdef", "").count(".") == 2, 10)
    bearer = lambda path: sh("curl", "-sSk", "-H", "Authorization: Bearer abcdef.0123456789abcdef", f"https://127.0.0.1:{node.port}{path}")[1]
    expect(json.loads(bearer("/api/v1/namespaces/kube-public/configmaps/cluster-info"))["kind"] == "ConfigMap", "a token cannot read it")
    expect(json.loads(bearer("/api/v1/secrets"))["code"] == 403, "a token reads Secrets")
    node.out("delete", "secret", "bootstrap-token-abcdef", "-n", "kube-system")
    eventually("the signature goes with the token", lambda: "jws-kubeconfig-abcdef" not in data(), 10)
