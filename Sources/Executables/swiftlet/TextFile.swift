import ContainerImages
import FoundationEssentials
import JSONCodec
import SystemPackage

enum TextFile {
  static func read(_ path: String) throws -> String {
    guard let data = FileManager.default.contents(atPath: path) else { throw StartFailure("\(path) cannot be read") }
    return String(decoding: data, as: UTF8.self)
  }
}

/// The file of `--registry-config`:
/// `{"mirrors": {"docker.io": ["mirror:5000"]}, "plainHTTP": ["registry:5000"], "caFiles": {"registry": "/etc/ca.pem"}}`.
enum RegistryConfigFile {
  static func read(_ path: String) throws -> RegistryConfiguration {
    let json: JSON
    do {
      json = try JSON.parse(try TextFile.read(path))
    } catch let error as JSONError {
      throw StartFailure("--registry-config \(path) is not JSON: \(error)")
    }
    let known: Set<String> = ["mirrors", "plainHTTP", "caFiles"]
    for key in json.object?.keys ?? [] where !known.contains(key) {
      throw StartFailure("--registry-config \(path) has an unknown field \"\(key)\"; it takes mirrors, plainHTTP and caFiles")
    }
    var result = RegistryConfiguration()
    for (host, mirrors) in json["mirrors"].object ?? JSONObject() { result.mirrors[host] = (mirrors.array ?? []).compactMap(\.string) }
    result.plainHTTPHosts = Set((json["plainHTTP"].array ?? []).compactMap(\.string))
    for (host, file) in json["caFiles"].object ?? JSONObject() { result.caFiles[host] = FilePath(file.string ?? "") }
    return result
  }
}
