import JSONCodec

/// An operating system and a processor, in Go's words: `linux`, `amd64`, variant `v8`.
package struct Platform: Hashable, Sendable, CustomStringConvertible {
  package var os: String
  package var architecture: String
  package var variant: String?

  package init(os: String, architecture: String, variant: String? = nil) {
    self.os = os
    self.architecture = architecture
    self.variant = variant.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// Nil where there is no object.
  package init?(_ json: JSON) {
    guard json.object != nil else { return nil }
    self.init(os: json["os"].string ?? "", architecture: json["architecture"].string ?? "", variant: json["variant"].string)
  }

  package var description: String { "\(os)/\(architecture)" + (variant.map { "/\($0)" } ?? "") }

  /// What this program was compiled for.
  package static var host: Platform {
    #if arch(x86_64)
      Platform(os: "linux", architecture: "amd64")
    #elseif arch(arm64)
      Platform(os: "linux", architecture: "arm64", variant: "v8")
    #elseif arch(arm)
      Platform(os: "linux", architecture: "arm", variant: "v7")
    #elseif arch(i386)
      Platform(os: "linux", architecture: "386")
    #elseif arch(powerpc64le)
      Platform(os: "linux", architecture: "ppc64le")
    #elseif arch(s390x)
      Platform(os: "linux", architecture: "s390x")
    #else
      Platform(os: "linux", architecture: "riscv64")
    #endif
  }

  /// How well an image for `other` runs here: nil, not at all; else the higher the better.
  ///
  /// On arm a lower variant runs on a higher one, and the highest that runs is best; a missing variant means v7 on arm, v8 on
  /// arm64 and v1 on amd64, as in the OCI image specification.
  package func suitability(of other: Platform) -> Int? {
    guard other.os == os, other.architecture == architecture else { return nil }
    let mine = Self.level(of: variant, architecture)
    let theirs = Self.level(of: other.variant, architecture)
    guard let mine, let theirs, theirs <= mine else { return nil }
    return theirs
  }

  private static func level(of variant: String?, _ architecture: String) -> Int? {
    guard let variant else { return ["arm": 7, "arm64": 8][architecture] ?? 1 }
    guard variant.hasPrefix("v"), let level = Int(variant.dropFirst().prefix { $0 != "." }) else { return nil }
    return level
  }
}
