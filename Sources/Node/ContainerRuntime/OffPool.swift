import Dispatch

/// Where system calls that may block run: not on the threads that Swift's tasks share.
private let blockingQueue = DispatchQueue(label: "swiftlet.runtime", attributes: .concurrent)

func offPool<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    blockingQueue.async { continuation.resume(with: Result { try body() }) }
  }
}
