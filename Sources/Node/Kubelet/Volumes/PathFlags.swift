/// Flags of open(2) and *at(2) on Linux that Swift's view of glibc lacks.
enum PathFlags {
  /// A descriptor that only names a file.
  static let path: Int32 = 0x20_0000
  static let emptyPath: Int32 = 0x1000
}
