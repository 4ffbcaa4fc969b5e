#!/usr/bin/env python3
"""run.py [PART OF A TEST'S NAME ...]: the end-to-end tests, as root, with the real kubectl.

Environment: SWIFTLET_BIN (folder of both programs), SWIFTLET_E2E_PODS, _KILLS, _ROUNDS (sizes), KEEP=1 (leave the folder),
SWIFTLET_E2E_INDEX (another number: other ports, ranges and names, for a run beside another one).
"""
import os, shutil, sys
from harness import *
import policies, pods, survival, nodes, volumes, api, machinery, cluster, clients, failures, disk, tools, roles, hooks, commands, streams, machines, joining, network, rollouts, conformance, conformance_machinery, conformance_custom, conformance_access, hostile, healing, encryption
try:
    import registry
except ImportError:
    pass


def main():
    if os.geteuid() != 0:
        sys.exit("the end-to-end tests make namespaces and mounts: run them as root (sudo scripts/test)")
    before = Host.picture()
    node, passed, failed = Node(int(os.environ.get("SWIFTLET_E2E_INDEX", "1"))), 0, []
    try:
        seconds = node.start()
        print(f"the node was Ready after {seconds:.2f} s")
        node.image()
        passed, failed = run_all(node, sys.argv[1:])
    except Failed as error:
        failed.append("start")
        print(f"FAIL  start: {error}")
    finally:
        if failed:
            print("--- the last lines of the agent's log")
            print("".join(open(node.log).readlines()[-int(os.environ.get("LOG_LINES", "25")):]))
        try:
            node.purge()
        except (Failed, OSError) as error:
            failed.append("purge")
            print(f"FAIL  purge: {error}")
    try:
        eventually("the host is as it was", lambda: not Host.difference(before, Host.picture()), timeout=10)
        passed += 1
        print("ok    the host is as it was")
    except Failed:
        failed.append("host")
        print("FAIL  the host changed: " + "; ".join(Host.difference(before, Host.picture())))
    if not os.environ.get("KEEP"):
        shutil.rmtree(node.dir, ignore_errors=True)
    print(f"\n{passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
