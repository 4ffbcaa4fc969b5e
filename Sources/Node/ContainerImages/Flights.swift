/// Work that several ask for and one does: whoever asks while it runs waits for the same result.
///
/// A task of its own does the work, so that one waiter's cancellation does not take it from the others; when the last waiter is
/// gone, it is cancelled.
actor Flights<Key: Hashable & Sendable, Value: Sendable> {
  private struct Flight {
    let task: Task<Value, any Error>
    var waiters: Int
    let serial: Int
  }

  private var flights: [Key: Flight] = [:]
  private var serial = 0

  /// `joined` tells whether somebody else's work was shared, be it a success or a failure. Throws only CancellationError, when the
  /// caller was cancelled.
  func run(
    _ key: Key, _ work: @escaping @Sendable () async throws -> Value
  ) async throws -> (result: Result<Value, any Error>, joined: Bool) {
    let flight: Flight
    let joined: Bool
    if var running = flights[key] {
      running.waiters += 1
      flights[key] = running
      flight = running
      joined = true
    } else {
      serial += 1
      flight = Flight(task: Task.detached { try await work() }, waiters: 1, serial: serial)
      flights[key] = flight
      joined = false
    }
    let number = flight.serial
    let cancelled = OnceFlag()
    let result = await withTaskCancellationHandler {
      await flight.task.result
    } onCancel: {
      if cancelled.set() { Task { await self.leave(key, number) } }
    }
    if cancelled.set() { leave(key, number) }
    try Task.checkCancellation()
    return (result, joined)
  }

  /// A waiter has its result, or wants none any more.
  private func leave(_ key: Key, _ number: Int) {
    guard var flight = flights[key], flight.serial == number else { return }
    flight.waiters -= 1
    if flight.waiters > 0 {
      flights[key] = flight
    } else {
      flights[key] = nil
      flight.task.cancel()
    }
  }
}
