import CLinux
import LinuxKernel

/// Builds the flat blob of podprotocol.h together with the descriptors it names.
struct PlanBuilder: ~Copyable {
  private(set) var header: pod_plan
  private var blob: [UInt8]
  /// Everything the plan refers to; [0] is kept for the plan's own memfd.
  private(set) var descriptors: [SharedDescriptor?] = [nil]

  init(kind: pod_plan_kind, id: String) {
    header = pod_plan()
    header.magic = UInt32(POD_PLAN_MAGIC)
    header.version = UInt32(POD_PROTOCOL_VERSION)
    header.kind = kind.rawValue
    header.umask = 0o022
    header.fd_rootfs = -1
    header.fd_cgroup = -1
    header.fd_seccomp = -1
    header.fd_log = -1
    header.fd_stdin = -1
    header.fd_stdout = -1
    header.fd_stderr = -1
    header.fd_user_namespace = -1
    blob = [UInt8](repeating: 0, count: MemoryLayout<pod_plan>.size)
    withUnsafeMutableBytes(of: &header.id) { $0.copyBytes(from: id.utf8.prefix(Int(POD_ID_SIZE) - 1)) }
    header.cwd = string("")
    header.hostname = header.cwd
  }

  mutating func edit(_ change: (inout pod_plan) -> Void) { change(&header) }
  mutating func flag(_ flag: pod_plan_flags, _ on: Bool = true) { if on { header.flags |= flag.rawValue } }

  /// Offset of the string, which ends at its first NUL.
  mutating func string(_ text: String) -> UInt32 {
    let offset = UInt32(blob.count)
    blob += text.utf8.prefix { $0 != 0 }
    blob.append(0)
    return offset
  }

  mutating func strings(_ list: [String]) -> pod_slice {
    var offsets: [UInt32] = []
    offsets.reserveCapacity(list.count)
    for text in list { offsets.append(string(text)) }
    return array(offsets)
  }

  mutating func array<Element: BitwiseCopyable>(_ elements: [Element]) -> pod_slice {
    while blob.count % 8 != 0 { blob.append(0) }
    let slice = pod_slice(offset: UInt32(blob.count), count: UInt32(elements.count))
    elements.withUnsafeBytes { blob += $0 }
    return slice
  }

  /// Index of a descriptor in the message.
  mutating func descriptor(_ descriptor: SharedDescriptor) -> Int32 {
    descriptors.append(descriptor)
    return Int32(descriptors.count - 1)
  }

  /// The blob in a sealed memfd, first of the descriptors to send.
  consuming func finish() throws -> [SharedDescriptor] {
    blob.append(0)
    guard blob.count <= Int(POD_PLAN_SIZE_MAX) else {
      throw ContainerRuntimeError(.invalid, "arguments and environment are larger than \(POD_PLAN_SIZE_MAX >> 20) MiB")
    }
    guard descriptors.count <= Int(POD_FDS_MAX) else {
      throw ContainerRuntimeError(.invalid, "more than \(POD_FDS_MAX - 10) mounts in one container")
    }
    header.size = UInt32(blob.count)
    withUnsafeBytes(of: header) { bytes in blob.replaceSubrange(0..<bytes.count, with: bytes) }
    return [SharedDescriptor(try Files.memory("plan", blob))] + descriptors.dropFirst().compactMap { $0 }
  }
}
