"""What must survive: kill -9 of the agent, many pods, and nothing left behind."""
import json, os, random, threading, time
from harness import *

PODS = int(os.environ.get("SWIFTLET_E2E_PODS", "50"))
KILLS = int(os.environ.get("SWIFTLET_E2E_KILLS", "20"))


def running(node):
    items = node.json("get", "pods", "-l", "set=many")["items"]
    return {p["metadata"]["name"]: p for p in items}


def states(node):
    return {n: (p["status"].get("podIP"), p["status"]["containerStatuses"][0]["containerID"], p["status"]["containerStatuses"][0]["restartCount"])
            for n, p in running(node).items() if p["status"].get("containerStatuses")}


def many(names):
    return json.dumps(dict(apiVersion="v1", kind="List", items=[
        dict(p, metadata=dict(p["metadata"], labels=dict(set="many"))) for p in (pod(n) for n in names)]))


@test
def agent_killed_under_pods(node):
    names = [f"many-{i}" for i in range(PODS)]
    node.out("create", "-f", "-", input=many(names), timeout=120)
    node.out("wait", "--for=condition=Ready", "pod", "-l", "set=many", "--timeout=120s", timeout=150)
    before = states(node)
    expect(len({a for a, _, _ in before.values()}) == PODS, "an address was given twice")
    for i in range(KILLS):
        # Creates and deletes are under way when the agent dies.
        node.kubectl("create", "-f", "-", input=json.dumps(pod(f"extra-{i}")), check=False)
        if i > 0:
            node.kubectl("delete", "pod", f"extra-{i - 1}", "--wait=false", check=False)
        time.sleep(random.random() * 0.1)
        node.kill()
        node.start()
    eventually("everything runs", lambda: len(states(node)) == PODS)
    after = states(node)
    changed = {n: (before[n], after.get(n)) for n in before if before[n] != after.get(n)}
    expect(not changed, f"restarted or moved: {changed}")
    node.kubectl("delete", "pod", f"extra-{KILLS - 1}", check=False)
    eventually("all deletes finished", lambda: not [l for l in node.out("get", "pods", "--no-headers").split("\n") if l.startswith("extra-")], timeout=60)
    node.out("delete", "pod", "-l", "set=many", "--now", timeout=180)


@test
def exit_while_the_agent_is_away(node):
    node.apply(pod("away", ["sh", "-c", "sleep 1; exit 42"], restartPolicy="Never"))
    node.ready("away")
    node.kill()
    time.sleep(1.5)
    node.start()
    eventually("its exit code is known", lambda: node.json("get", "pod", "away")["status"]["phase"] == "Failed")
    state = node.json("get", "pod", "away")["status"]["containerStatuses"][0]
    expect(state["state"]["terminated"]["exitCode"] == 42 and state["restartCount"] == 0, state)
    node.out("delete", "pod", "away")


@test
def nothing_is_left_of_200_pods(node):
    rounds, each = int(os.environ.get("SWIFTLET_E2E_ROUNDS", "4")), PODS
    node.apply(pod("warm"))
    node.ready("warm")
    node.out("delete", "pod", "warm", "--now")
    time.sleep(1)
    before, files = Host.picture(), len(os.listdir(f"/proc/{node.process.pid}/fd"))
    for r in range(rounds):
        node.out("create", "-f", "-", input=many([f"r{r}-{i}" for i in range(each)]), timeout=120)
        node.out("wait", "--for=condition=Ready", "pod", "-l", "set=many", "--timeout=120s", timeout=150)
        node.out("delete", "pod", "-l", "set=many", "--now", timeout=180)
    difference = None
    def same():
        nonlocal difference
        difference = Host.difference(before, Host.picture())
        return not difference
    try:
        eventually("the host is as it was", same, timeout=15)
    except Failed:
        raise Failed(f"the host changed: {difference}")
    now = len(os.listdir(f"/proc/{node.process.pid}/fd"))
    expect(now <= files + 4, f"open files of the agent: {files} before, {now} after")
    living = {p["metadata"]["uid"] for p in node.json("get", "pods", "-A")["items"]}
    left = [d for d in os.listdir(f"{node.data}/pods") if d not in living]
    left += [d for d in os.listdir(f"{node.data}/runtime/sandboxes") if d not in living]
    expect(not left, f"left on disk: {left[:5]}")
