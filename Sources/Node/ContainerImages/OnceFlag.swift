import Synchronization

/// True for exactly one caller of `set`.
final class OnceFlag: Sendable {
  private let isSet = Atomic<Bool>(false)
  func set() -> Bool { isSet.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged }
}
