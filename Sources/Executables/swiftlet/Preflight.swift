import APIServer
import ContainerRuntime
import FoundationEssentials
import LinuxKernel
import NIOCore
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// What is looked at before anything is started: each problem is one message, and nothing has happened yet.
enum Preflight {
  /// Whether a node can run here.
  static func node(_ paths: PathOptions, _ options: NodeOptions) throws {
    _ = try NodeRole.missingControllers(options)
    let supervisor = Machine.programDirectory + "/swiftlet-pod"
    guard access(supervisor, X_OK) == 0 else {
      throw StartFailure(
        "\(supervisor) \(access(supervisor, F_OK) == 0 ? "cannot be executed" : "is missing"); "
          + "swiftlet needs its pod supervisor beside itself. Build both with scripts/build, or copy swiftlet-pod there."
      )
    }
    guard options.kubeletPort == 0 || Machine.isPortFree("0.0.0.0", options.kubeletPort) else {
      throw portInUse("the node's endpoint", "0.0.0.0", options.kubeletPort, EADDRINUSE, "--kubelet-port")
    }
    try rootFileSystems(paths.data)
  }

  /// Whether overlayfs can put a container's changes into the data directory: on some file systems (network ones, another overlay) it
  /// cannot.
  private static func rootFileSystems(_ data: FilePath) throws {
    let probe = data.appending("probe")
    try? FileManager.default.removeItem(atPath: probe.string)
    defer { try? FileManager.default.removeItem(atPath: probe.string) }
    do {
      for name in ["lower", "upper", "work"] { try Files.makeDirectories(probe.appending(name)) }
    } catch {
      throw StartFailure("\(data) cannot be written: \(systemText(error.errno)). Free some space there, or choose another --data-dir.")
    }
    do {
      _ = try Overlay.mount(layers: [probe.appending("lower")], upper: probe.appending("upper"), work: probe.appending("work"))
    } catch {
      let problem = error.errno.rawValue == ENODEV ? "the kernel has no overlayfs (modprobe overlay)" : "\(error)"
      throw StartFailure(
        "containers' root file systems cannot be kept in \(data): \(problem). "
          + "Choose a --data-dir on a local disk with ext4, xfs or btrfs; another overlay (a container's own root) and network file systems will not do."
      )
    }
  }

  static func portInUse(_ what: String, _ host: String, _ port: Int, _ code: Int32, _ option: String) -> StartFailure {
    let remedy =
      code == EADDRINUSE
      ? "See what listens there with `ss -ltnp 'sport = :\(port)'`, or choose another with \(option)."
      : "Name an address of this machine and a port with \(option)."
    return StartFailure("\(what) cannot listen on \(host):\(port): \(String(cString: strerror(code))). \(remedy)")
  }

  static func cannotListen(_ what: String, _ host: String, _ port: Int, _ error: any Error, _ option: String) -> StartFailure {
    guard let error = error as? IOError else {
      return StartFailure("\(what) cannot listen on \(host):\(port): \(error). Name an address of this machine and a port with \(option).")
    }
    return portInUse(what, host, port, error.errnoCode, option)
  }
}
