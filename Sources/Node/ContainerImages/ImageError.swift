import LinuxKernel
import OCISpec
import SystemPackage

/// What went wrong with an image, for a program (`code`) and for a person (`message`: what, where, how to mend).
package struct ImageError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: String, Sendable {
    /// The name is no image name.
    case invalidName
    /// The registry or the store has no such image.
    case notFound
    /// Login failed, or the image may not be read with this login.
    case unauthorized
    /// Content does not have the digest it was announced with.
    case digestMismatch
    /// Content ended before its announced size.
    case truncated
    /// More than a named limit allows, or longer than announced.
    case tooLarge
    /// A bound on unpacking was reached: entries, bytes, depth, compression ratio.
    case limitExceeded
    /// Well-formed, but nothing this node can run: other platform, schema 1, unknown layer type.
    case unsupported
    /// Not what it claims to be: broken JSON, tar or compression.
    case malformed
    /// A layer entry that tries to leave the layer, or to be what it may not be.
    case unsafeEntry
    /// The registry cannot be reached.
    case network
    /// The registry answers with errors (5xx or nonsense).
    case registry
    case tooManyRequests
    case diskFull
    /// Containers still use the image.
    case inUse
    /// Another process has this store open.
    case locked
    case cancelled
    /// The store's own files cannot be read or written.
    case storage
  }

  package let code: Code
  package let message: String

  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  package var description: String { message }

  /// The waiting reason of the container in its Pod's status.
  package var waitingReason: String {
    switch code {
    case .invalidName: "InvalidImageName"
    case .network: "RegistryUnavailable"
    default: "ErrImagePull"
    }
  }

  /// Whether another try, with nothing changed, may succeed at once; used inside one pull only.
  package var isTransient: Bool { code == .network || code == .registry || code == .tooManyRequests || code == .truncated }

  /// The same error, saying first what it was about.
  package func about(_ what: String) -> ImageError { ImageError(code, "\(what): \(message)") }

  package static func wrap(_ error: any Error) -> ImageError {
    switch error {
    case let error as ImageError: error
    case let error as ImageReferenceError: ImageError(.invalidName, error.description)
    case let error as OCIDocumentError:
      ImageError(error.kind == .malformed ? .malformed : error.kind == .tooLarge ? .tooLarge : .unsupported, error.reason)
    case let error as KernelError: kernel(error)
    case is CancellationError: ImageError(.cancelled, "cancelled")
    default: ImageError(.storage, "\(error)")
    }
  }

  private static func kernel(_ error: KernelError) -> ImageError {
    switch error.errno {
    case .noSpace, .diskQuotaExceeded: ImageError(.diskFull, "the disk is full (\(error)); free space or remove unused images")
    default: ImageError(.storage, error.description)
    }
  }
}
