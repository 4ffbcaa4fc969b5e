import Foundation
import HTTPServing
import NIOHTTP1
import SystemPackage
import Testing

@testable import Kubelet

@Suite struct SystemLogsTests {
  private func page(_ response: ServedResponse) -> String {
    if case .bytes(let bytes) = response.body { String(buffer: bytes) } else { "" }
  }

  @Test func directoriesAreListedAndLinksAreNotFollowed() throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("logs-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: root + "/pods", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: root) }
    try "text".write(toFile: root + "/sys<log:1", atomically: false, encoding: .utf8)
    try FileManager.default.createSymbolicLink(atPath: root + "/link", withDestinationPath: "/etc/hostname")
    try FileManager.default.createSymbolicLink(atPath: root + "/up", withDestinationPath: "/etc")
    let logs = SystemLogs(root: FilePath(root))
    let list = logs.answer([], isDirectoryPath: true)
    #expect(list.status == .ok && list.headers.first(name: "content-type") == "text/html; charset=utf-8")
    let page = page(list)
    #expect(page.contains("<a href=\"pods/\">pods/</a>\n") && page.contains("<a href=\"sys%3Clog%3A1\">sys&lt;log:1</a>\n"))
    #expect(logs.answer(["sys<log:1"], isDirectoryPath: false).status == .ok)
    #expect(logs.answer(["pods"], isDirectoryPath: true).status == .ok)
    let moved = logs.answer(["pods"], isDirectoryPath: false)
    #expect(moved.status == .movedPermanently && moved.headers.first(name: "location") == "pods/")
    #expect(logs.answer(["link"], isDirectoryPath: false).status == .forbidden)
    #expect(logs.answer(["up", "hostname"], isDirectoryPath: false).status == .notFound)
    #expect(logs.answer(["..", "x"], isDirectoryPath: false).status == .badRequest)
    #expect(logs.answer(["none"], isDirectoryPath: false).status == .notFound)
  }
}
