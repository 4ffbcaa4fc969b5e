/// Bounds on what one layer may do to this machine. Each is far above what real images need.
package struct UnpackLimits: Sendable {
  /// Bytes of the uncompressed tar stream.
  package var streamBytesMax: Int64 = 64 << 30
  /// Bytes written to files.
  package var dataBytesMax: Int64 = 64 << 30
  /// Length of one file, holes included.
  package var fileBytesMax: Int64 = 1 << 40
  package var entriesMax = 2_000_000
  package var pathBytesMax = 4_095
  package var nameBytesMax = 255
  /// Components of one path.
  package var depthMax = 255
  /// Extended attributes of one entry, names and values together.
  package var xattrBytesMax = 64 << 10
  /// Uncompressed bytes per compressed byte, judged once `ratioFreeBytes` have come out.
  package var compressionRatioMax: Int64 = 250
  package var ratioFreeBytes: Int64 = 64 << 20

  package init() {}
}
