import LinuxKernel

extension ContainerRuntime {
  /// Writes other limits for a pod and some of its running containers. Refuses memory limits below what is in use, where the
  /// kernel would kill; what was written before a failure stays, within the pod's former limits.
  package func resize(sandbox id: String, pod: ResourceLimits, containers: [String: ResourceLimits]) async throws {
    let sandbox = try sandbox(id)
    guard let cgroups else { return }
    try await offPool {
      let directory = try CgroupDirectory(opening: cgroups.path(ofPod: id, qos: sandbox.spec.qos))
      for (container, limits) in containers { try Self.checkUsage(try directory.existingChild(container), limits) }
      // Containers may grow before the pod's limit follows, and must have shrunk before it does.
      let before = try directory.lift()
      do {
        for (container, limits) in containers { try directory.existingChild(container).applyAll(limits) }
        try Self.checkUsage(directory, pod)
        try directory.applyAll(pod)
      } catch {
        for (file, value) in before { try? directory.set(file, value) }
        throw error
      }
      if sandbox.spec.qos == .burstable { try self.burstable?.set(pod.cpuWeight ?? BurstableWeight.kernelDefault, ofPod: id) }
    }
  }

  private static func checkUsage(_ cgroup: borrowing CgroupDirectory, _ limits: ResourceLimits) throws {
    guard let memoryMax = limits.memoryMax, cgroup.has("memory.current"),
      let used = Int64(try cgroup.value("memory.current").prefix { $0.isNumber }), used > memoryMax
    else { return }
    throw ContainerRuntimeError(.busy, "attempting to set memory limit (\(memoryMax)) below current usage (\(used))")
  }
}

extension CgroupDirectory {
  /// Takes the limits away for a moment; tells what they were.
  borrowing func lift() throws(KernelError) -> [(file: String, value: String)] {
    var before: [(String, String)] = []
    for file in ["memory.max", "cpu.max"] where has(file) {
      before.append((file, String(try value(file).prefix { $0 != "\n" })))
      try set(file, "max")
    }
    return before
  }

  /// Like `apply`, where a limit that is not named is one that is gone.
  borrowing func applyAll(_ limits: ResourceLimits) throws(KernelError) {
    if limits.memoryMax == nil, has("memory.max") { try set("memory.max", "max") }
    if limits.cpuQuotaMicros == nil, has("cpu.max") { try set("cpu.max", "max") }
    try apply(limits)
  }
}
