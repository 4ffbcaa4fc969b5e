import Authorization
import FoundationEssentials
import JSONCodec
import Logging
import NIOPosix
import Synchronization
import SystemPackage

/// Writes audit events into a file, a line of JSON each. Requests never wait for it: lines are gathered in memory and
/// written in order by a thread of their own.
package final class AuditLog: Sendable {
  /// Bytes of lines not yet written. When the disk is slower than this, lines are lost and counted, and the log says so.
  static let bufferBytesMax = 16 << 20

  private struct State {
    var buffer: [UInt8] = []
    var isWriting = false
    var lost = 0
  }

  let policy: AuditPolicy
  private let path: FilePath
  private let file: FileDescriptor
  private let log: Logger
  private let state = Mutex(State())

  /// - Parameter policyFile: an audit.k8s.io/v1 Policy in YAML or JSON; nil: the metadata of every request.
  package init(path: FilePath, policyFile: FilePath?, log: Logger) throws {
    policy = try policyFile.map(Self.policy) ?? .metadataOfAll
    self.path = path
    self.log = log
    do {
      file = try FileDescriptor.open(path, .writeOnly, options: [.create, .append, .closeOnExec], permissions: [.ownerReadWrite])
    } catch {
      throw IdentityError(path: path.string, problem: "the audit log cannot be opened: \(error)")
    }
  }

  deinit { try? file.close() }

  private static func policy(_ path: FilePath) throws -> AuditPolicy {
    guard let data = FileManager.default.contents(atPath: path.string) else {
      throw IdentityError(path: path.string, problem: "the audit policy cannot be read")
    }
    do {
      return try AuditPolicy(try YAMLDocument.parse(String(decoding: data, as: UTF8.self)))
    } catch {
      throw IdentityError(path: path.string, problem: "is no audit policy: \(error)")
    }
  }

  func write(_ event: JSON) {
    let mustStart = state.withLock { state -> Bool in
      guard state.buffer.count < Self.bufferBytesMax else {
        state.lost += 1
        return false
      }
      event.write(to: &state.buffer)
      state.buffer.append(0x0A)
      defer { state.isWriting = true }
      return !state.isWriting
    }
    if mustStart { NIOThreadPool.singleton.submit { _ in self.drain() } }
  }

  private func drain() {
    while true {
      let (bytes, lost) = state.withLock { state in
        let taken = (state.buffer, state.lost)
        (state.buffer, state.lost) = ([], 0)
        state.isWriting = !taken.0.isEmpty
        return taken
      }
      if lost > 0 { log.error("\(path): \(lost) audit events were lost, the disk is too slow") }
      if bytes.isEmpty { return }
      do {
        _ = try file.writeAll(bytes)
      } catch {
        log.error("\(path): audit events are lost: \(error)")
      }
    }
  }
}
