import JSONCodec
import KubernetesAPI
import Logging

/// Lets one of several processes lead, by a Lease that the leader renews.
package struct LeaderElection: Sendable {
  /// Seconds that a lease is good for without renewal, between renewals, and between attempts.
  package struct Times: Sendable {
    package var lease = 15.0
    package var renewal = 5.0
    package var attempt = 2.0
    package init() {}
  }

  let client: KubernetesClient
  let namespace: String
  let name: String
  /// Names this process; one that comes back under the name it had goes on leading at once.
  let identity: String
  let times: Times
  let time: TimeSource
  let log: Logger

  package init(
    client: KubernetesClient, namespace: String = "kube-system", name: String, identity: String, times: Times = Times(),
    time: TimeSource = .system, log: Logger
  ) {
    self.client = client
    self.namespace = namespace
    self.name = name
    self.identity = identity
    self.times = times
    self.time = time
    self.log = log
  }

  /// Waits for leadership, leads while it lasts, and begins anew; returns when the task is cancelled, having let go.
  package func run(_ lead: @escaping @Sendable () async -> Void) async {
    while !Task.isCancelled {
      guard await acquire() else { return }
      log.info("\(identity) leads \(name)")
      await withTaskGroup(of: Bool.self) { group in
        group.addTask {
          await lead()
          return true
        }
        group.addTask {
          await renew()
          return false
        }
        await group.next()
        group.cancelAll()
      }
    }
    // The task is cancelled by now; giving up the lease is not.
    await Task { await release() }.value
  }

  private func acquire() async -> Bool {
    // When the holder was last seen to renew, by this process's clock: clocks of machines differ.
    var seen: (version: String, at: Timestamp)?
    while !Task.isCancelled {
      if await attempt(&seen) { return true }
      try? await time.sleep(times.attempt)
    }
    return false
  }

  private func attempt(_ seen: inout (version: String, at: Timestamp)?) async -> Bool {
    do {
      var lease = try await client.get(.leases(namespace), name: name)
      let holder = lease["spec"]["holderIdentity"].string ?? ""
      if !holder.isEmpty, holder != identity {
        let version = lease["metadata"]["resourceVersion"].string ?? ""
        if seen?.version != version { seen = (version, time.now()) }
        let patience = max(times.lease, Double(lease["spec"]["leaseDurationSeconds"].int ?? 0))
        guard let seen, time.now().seconds(since: seen.at) > patience else { return false }
      }
      if holder != identity {
        lease["spec"]["acquireTime"] = .string(time.now().rfc3339Micro)
        lease["spec"]["leaseTransitions"] = JSON((lease["spec"]["leaseTransitions"].int ?? 0) + (holder.isEmpty ? 0 : 1))
      }
      try await client.update(.leases(namespace), name: name, held(lease))
      return true
    } catch let error as APIStatusError where error.isNotFound {
      var lease: JSON = [
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": ["name": .string(name), "namespace": .string(namespace)],
      ]
      lease["spec"]["acquireTime"] = .string(time.now().rfc3339Micro)
      lease["spec"]["leaseTransitions"] = 0
      let created = try? await client.create(.leases(namespace), held(lease))
      return created != nil
    } catch {
      log.debug("\(identity) does not lead \(name): \(error)")
      return false
    }
  }

  private func held(_ lease: JSON) -> JSON {
    var lease = lease
    lease["spec"]["holderIdentity"] = .string(identity)
    lease["spec"]["leaseDurationSeconds"] = JSON(Int(times.lease))
    lease["spec"]["renewTime"] = .string(time.now().rfc3339Micro)
    return lease
  }

  /// Renews until it fails for longer than the lease is good.
  private func renew() async {
    var renewed = time.now()
    while !Task.isCancelled {
      guard (try? await time.sleep(times.renewal)) != nil else { return }
      do {
        let lease = try await client.get(.leases(namespace), name: name)
        guard lease["spec"]["holderIdentity"].string == identity else {
          log.warning("\(identity) leads \(name) no more: \(lease["spec"]["holderIdentity"].string ?? "nobody") does")
          return
        }
        try await client.update(.leases(namespace), name: name, held(lease))
        renewed = time.now()
      } catch {
        // Before another process may take over.
        if time.now().seconds(since: renewed) > times.lease * 2 / 3 {
          log.warning("\(identity) stops to lead \(name): the lease cannot be renewed: \(error)")
          return
        }
      }
    }
  }

  private func release() async {
    guard var lease = try? await client.get(.leases(namespace), name: name), lease["spec"]["holderIdentity"].string == identity else {
      return
    }
    lease["spec"]["holderIdentity"] = ""
    _ = try? await client.update(.leases(namespace), name: name, lease)
  }
}
