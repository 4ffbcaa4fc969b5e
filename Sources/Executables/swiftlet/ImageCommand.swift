import ArgumentParser
import FoundationEssentials
import JSONCodec
import SystemPackage

/// `swiftlet image ...`: the images of this machine, asked of the agent.
struct ImageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image", abstract: "Imports, pulls, lists and removes images.",
    subcommands: [Import.self, Pull.self, List.self, Remove.self, InspectImage.self])

  struct Target: ParsableArguments {
    @OptionGroup var agent: AgentOptions
    var client: AgentClient { AgentClient(socket: AgentSocket.imagesPath(agent.socket)) }
  }

  struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Imports a docker-archive, an oci-archive or an OCI layout folder.")
    @OptionGroup var target: Target
    @Argument(help: "The file or folder.") var file: String

    func run() async throws {
      try await Role.exitingCleanly {
        let path = CurrentDirectory.absolute(file)
        guard FileManager.default.fileExists(atPath: path) else { throw StartFailure("there is no file or folder \(path)") }
        let images = try await target.client.json("POST", "/images/import" + AgentClient.query([("path", path)]))
        for image in images.array ?? [] {
          print("imported \((image["names"].array ?? []).compactMap(\.string).joined(separator: ", ")) (\(image["id"].string ?? ""))")
        }
      }
    }
  }

  struct Pull: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Pulls an image from its registry.")
    @OptionGroup var target: Target
    @Argument(help: "The image, such as nginx or registry.example:5000/app:1.") var reference: String

    func run() async throws {
      try await Role.exitingCleanly {
        let image = try await target.client.json("POST", "/images/pull" + AgentClient.query([("name", reference)]))
        print("pulled \(reference) (\(image["id"].string ?? ""))")
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "ls", abstract: "Lists images.")
    @OptionGroup var target: Target

    func run() async throws {
      try await Role.exitingCleanly {
        let images = try await target.client.json("GET", "/images")
        var rows = [["IMAGE", "ID", "SIZE"]]
        for image in images.array ?? [] {
          let names = (image["names"].array ?? []).compactMap(\.string)
          let id = String((image["id"].string ?? "").replacing("sha256:", with: "").prefix(12))
          let size = TextTable.size(Int64(image["size"].int ?? 0))
          for name in names.isEmpty ? ["<none>"] : names { rows.append([name, id, size]) }
        }
        TextTable.print(rows)
      }
    }
  }

  struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rm", abstract: "Removes an image that no container uses.")
    @OptionGroup var target: Target
    @Argument(help: "Its name or id.") var reference: String

    func run() async throws {
      try await Role.exitingCleanly {
        _ = try await target.client.json("DELETE", "/images" + AgentClient.query([("name", reference)]))
        print("removed \(reference)")
      }
    }
  }

  struct InspectImage: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "inspect", abstract: "Shows an image's configuration and layers.")
    @OptionGroup var target: Target
    @Argument(help: "Its name or id.") var reference: String

    func run() async throws {
      try await Role.exitingCleanly {
        print(try await target.client.json("GET", "/images/inspect" + AgentClient.query([("name", reference)])).prettyText())
      }
    }
  }
}

/// Columns as wide as their widest cell.
enum TextTable {
  static func print(_ rows: [[String]]) { for line in lines(rows) { Swift.print(line) } }

  static func lines(_ rows: [[String]]) -> [String] {
    let count = rows.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
      row.enumerated().map { column, cell in
        column + 1 == row.count ? cell : cell + String(repeating: " ", count: widths[column] - cell.count + 3)
      }.joined()
    }
  }

  /// Bytes as people read them: `640 kB`, `2.1 MB`, `187 MB`.
  static func size(_ bytes: Int64) -> String {
    var (value, unit) = (Double(bytes), "B")
    for next in ["kB", "MB", "GB", "TB"] where value >= 1000 { (value, unit) = (value / 1000, next) }
    if unit == "B" || value >= 99.5 { return "\(Int64(value.rounded())) \(unit)" }
    let tenths = Int64((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(unit)"
  }
}
