import ArgumentParser
import Dispatch

#if canImport(Glibc)
  import Glibc
#endif

/// How a long-running command lives and ends.
enum Role {
  /// Runs all parts until SIGTERM or SIGINT, or until one of them fails; then cancels them and waits for their end.
  static func running(_ parts: [@Sendable () async throws -> Void]) async throws {
    let (signals, continuation) = AsyncStream.makeStream(of: Int32.self)
    let sources = [SIGTERM, SIGINT].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number)
      source.setEventHandler { continuation.yield(number) }
      source.resume()
      return source
    }
    defer { for source in sources { source.cancel() } }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for part in parts { group.addTask { try await part() } }
      group.addTask { for await _ in signals { break } }
      defer { group.cancelAll() }
      try await group.next()
      group.cancelAll()
      while let result = await group.nextResult() {
        if case .failure(let error) = result, !(error is CancellationError) { throw error }
      }
    }
  }

  /// One line on standard output, at once: also where that is a file.
  static func say(_ message: String) {
    var line = "\(message)\n"
    line.withUTF8 { _ = write(1, $0.baseAddress, $0.count) }
  }

  /// Runs all parts until one fails or all have ended; the others are cancelled then, and waited for.
  static func together(_ parts: [@Sendable () async throws -> Void]) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for part in parts { group.addTask { try await part() } }
      try await group.waitForAll()
    }
  }

  private static func complain(_ message: String) {
    var line = "swiftlet: \(message)\n"
    line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
  }

  /// Turns a failure into one message and a non-zero exit, without a stack trace or a second sentence.
  static func exitingCleanly(_ body: () async throws -> Void) async throws {
    do {
      try await body()
    } catch let failure as StartFailure {
      complain("\(failure)")
      throw ExitCode(1)
    } catch let exit as ExitCode {
      throw exit
    } catch {
      complain("\(error)")
      throw ExitCode(1)
    }
  }
}
