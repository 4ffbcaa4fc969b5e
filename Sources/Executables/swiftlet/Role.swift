import ArgumentParser
import Dispatch

#if canImport(Glibc)
  import Glibc
#endif

/// How a long-running command lives and ends.
enum Role {
  /// Runs the work until SIGTERM or SIGINT, then cancels it and waits for its end.
  static func untilStopped(_ work: @escaping @Sendable () async -> Void) async {
    let (signals, continuation) = AsyncStream.makeStream(of: Int32.self)
    let sources = [SIGTERM, SIGINT].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number)
      source.setEventHandler { continuation.yield(number) }
      source.resume()
      return source
    }
    defer { for source in sources { source.cancel() } }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await work() }
      group.addTask { for await _ in signals { break } }
      await group.next()
      group.cancelAll()
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
