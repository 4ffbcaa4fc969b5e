import LinuxKernel
import SystemPackage

/// A pod's quality of service, which decides where its cgroup lies.
package enum PodQOS: String, Sendable { case guaranteed, burstable, bestEffort }

/// The part of the v2 tree that pods live in: `<root>/kubepods/[burstable/|besteffort/]pod<uid>/<container>`.
package struct CgroupTree: Sendable {
  package let root: FilePath
  /// The supervisor's own cgroup within its pod's: a cgroup that hands on controllers has no processes itself.
  package static let supervisorName = "supervisor"

  /// Makes the root and what lies above the pods. The part above `root` must exist and, for controllers to arrive, hand them on.
  package init(root: FilePath) throws(KernelError) {
    self.root = root
    try Files.makeDirectories(root, mode: 0o755)
    var chain: [FilePath] = [root]
    // From the hierarchy's top downwards: a controller arrives only through all of them.
    while let path = chain.last, path.removingLastComponent() != path,
      (try? Files.text(path.removingLastComponent().appending("cgroup.controllers").string)) != nil
    {
      chain.append(path.removingLastComponent())
    }
    for path in chain.reversed() {
      let directory = try CgroupDirectory(opening: path)
      // Above our root somebody else may own the decision: what is refused there shows as a missing controller.
      if path == root { try directory.delegate(CgroupHierarchy.needed) } else { try? directory.delegate(CgroupHierarchy.needed) }
    }
    let pods = try CgroupDirectory(opening: root).child("kubepods")
    try pods.delegate(CgroupHierarchy.needed)
    for name in ["burstable", "besteffort"] {
      let parent = try pods.child(name)
      try parent.delegate(CgroupHierarchy.needed)
      if name == "besteffort", parent.has("cpu.weight") { try parent.set("cpu.weight", "1") }
    }
  }

  /// Controllers that reach the pods.
  package func controllers() -> Set<String> {
    let text = (try? Files.text(root.appending("kubepods/cgroup.controllers").string)) ?? ""
    return Set(text.split(whereSeparator: \.isWhitespace).map(String.init))
  }

  package func parent(of qos: PodQOS) -> FilePath {
    switch qos {
    case .guaranteed: root.appending("kubepods")
    case .burstable: root.appending("kubepods/burstable")
    case .bestEffort: root.appending("kubepods/besteffort")
    }
  }

  package static func podName(_ uid: String) -> String { "pod\(uid)" }

  package func path(ofPod uid: String, qos: PodQOS) -> FilePath { parent(of: qos).appending(Self.podName(uid)) }

  package func makePod(_ uid: String, qos: PodQOS, limits: ResourceLimits?) throws(KernelError) -> CgroupDirectory {
    let pod = try CgroupDirectory(opening: parent(of: qos)).child(Self.podName(uid))
    try pod.delegate(CgroupHierarchy.needed)
    if let limits { try pod.apply(limits) }
    return pod
  }

  package func removePod(_ uid: String, qos: PodQOS) throws(KernelError) {
    try CgroupDirectory(opening: parent(of: qos)).removeChild(Self.podName(uid))
  }

  /// cpu.weight of the pods that lie below the burstable group, by their uid.
  func burstableWeights() throws(KernelError) -> [String: Int64] {
    let group = try CgroupDirectory(opening: parent(of: .burstable))
    var result: [String: Int64] = [:]
    for name in group.childNames() where name.hasPrefix("pod") {
      let text = try? group.existingChild(name).value("cpu.weight")
      result[String(name.dropFirst("pod".count))] = text.flatMap { Int64($0.prefix(while: \.isNumber)) }
    }
    return result
  }

  /// Removes the whole tree again; EBUSY while a pod lives.
  package func remove() throws(KernelError) {
    guard let name = root.lastComponent?.string else { return }
    try CgroupDirectory(opening: root.removingLastComponent()).removeChild(name)
  }
}
