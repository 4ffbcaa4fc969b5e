import APIMachinery
import JSONCodec
import KubernetesAPI
import RevisionStore

/// Which objects of a collection are wanted.
struct Selection: Sendable {
  var labels = LabelSelector.everything
  var fields = FieldSelector.everything
  let resource: ResourceInfo

  var selectsEverything: Bool { labels.selectsEverything && fields.requirements.isEmpty }

  init(resource: ResourceInfo) { self.resource = resource }

  init(_ call: APICall, _ request: ResourceRequest) throws {
    resource = request.resource
    if let text = call.parameter("labelSelector"), !text.isEmpty { labels = try Self.readable { try LabelSelector.parse(text) } }
    if let text = call.parameter("fieldSelector"), !text.isEmpty { fields = try Self.readable { try FieldSelector.parse(text) } }
    for requirement in fields.requirements {
      let field = requirement.field
      let known =
        field == "metadata.name" || (field == "metadata.namespace" && resource.isNamespaced) || resource.fieldSelectors.contains(field)
      guard known else {
        throw APIFailure.badRequest(
          "Unable to find \"\(resource.apiVersion), Resource=\(resource.plural)\" that match label selector \"\(call.parameter("labelSelector") ?? "")\", field selector \"\(call.parameter("fieldSelector") ?? "")\": field label not supported: \(field)"
        )
      }
    }
  }

  /// A selector that cannot be read is the caller's mistake.
  private static func readable<Value>(_ parse: () throws -> Value) throws -> Value {
    do { return try parse() } catch { throw APIFailure.badRequest("\(error)") }
  }

  func matches(_ object: JSON) -> Bool {
    guard labels.selectsEverything || labels.matches(object["metadata"]["labels"]) else { return false }
    guard !fields.requirements.isEmpty else { return true }
    return fields.requirements.allSatisfy { requirement in
      (value(requirement.field, object) == requirement.value) == requirement.isEqual
    }
  }

  /// Most selectors name one of these; the schema knows the rest.
  private func value(_ field: String, _ object: JSON) -> String {
    switch field {
    case "metadata.name": object["metadata"]["name"].string ?? ""
    case "metadata.namespace": object["metadata"]["namespace"].string ?? ""
    default: fieldSelectorValues(resource: resource, object: object)[field] ?? ""
    }
  }
}

/// Where a chunked list goes on.
private struct ContinueToken {
  let revision: Revision
  let after: String

  var text: String {
    let json: JSON = ["v": "meta.k8s.io/v1", "rv": .int(revision), "start": .string(after)]
    return Base64.encode(json.serialized(), urlSafe: true)
  }

  init(revision: Revision, after: String) {
    self.revision = revision
    self.after = after
  }

  init(_ text: String) throws {
    guard let bytes = Base64.decode(text, orURLSafe: true), let json = try? JSON.parse(bytes), let revision = json["rv"].int,
      let start = json["start"].string
    else { throw APIFailure.badRequest("continue key is not valid: illegal base64 or an unknown form") }
    self.init(revision: Revision(revision), after: start)
  }
}

/// A part of a collection, ready to be sent.
struct ListPage: Sendable {
  var items: [StoredValue]
  /// The items as values where a selector had to look at them.
  var objects: [JSON]?
  var revision: Revision
  var next: String?
  var remaining: Int?

  /// The ListMeta.
  var metadata: JSON {
    [
      "resourceVersion": .string(String(revision)), "continue": JSON(next), "remainingItemCount": remaining.map { JSON($0) } ?? .null,
    ]
  }
}

extension Resources {
  /// How many objects are read from the store at a time while a selector looks for matches.
  static let scanPageSize = 500

  /// The beginning of a list of everything, with the prefix of its keys; nil where a selector has to look at the objects.
  func firstPage(_ call: APICall, _ request: ResourceRequest, limit: Int) async throws -> (prefix: String, page: Page)? {
    let selection = try Selection(call, request)
    guard selection.selectsEverything else { return nil }
    let prefix = ResourceRequest.prefix(request.resource, namespace: request.namespace)
    let revision = try await listRevision(call)
    do {
      return (prefix, try await store.list(prefix: prefix, after: nil, limit: limit, at: revision))
    } catch let error as RevisionStoreError {
      guard case .compacted = error.code else { throw error }
      throw expiredList(after: nil)
    }
  }

  func list(_ call: APICall, _ request: ResourceRequest) async throws -> ListPage {
    let selection = try Selection(call, request)
    var prefix = ResourceRequest.prefix(request.resource, namespace: request.namespace)
    if let namespace = selection.fields.exact("metadata.namespace"), request.namespace == nil, request.resource.isNamespaced {
      prefix += namespace + "/"
    }
    var limit = try Self.limit(call)
    var after: String?
    var revision: Revision?
    if let text = call.parameter("continue"), !text.isEmpty {
      let token = try ContinueToken(text)
      (after, revision) = (token.after, token.revision > 0 ? token.revision : nil)
    } else {
      revision = try await listRevision(call)
    }
    if limit == 0 { limit = nil }
    do {
      return try await page(prefix: prefix, after: after, limit: limit, at: revision, selection)
    } catch let error as RevisionStoreError {
      guard case .compacted = error.code else { throw error }
      throw expiredList(after: after)
    }
  }

  private static func limit(_ call: APICall) throws -> Int? {
    guard let text = call.parameter("limit"), !text.isEmpty else { return nil }
    guard let limit = Int(text), limit >= 0 else {
      throw APIFailure.badRequest("limit: Invalid value: \"\(text)\": must be a whole number that is not negative")
    }
    return limit
  }

  /// Which revision a list without a continue token is read at; nil for the most recent.
  private func listRevision(_ call: APICall) async throws -> Revision? {
    let match = call.parameter("resourceVersionMatch") ?? ""
    let version = call.parameter("resourceVersion") ?? ""
    if !match.isEmpty, version.isEmpty {
      throw Self.invalidOptions("resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided")
    }
    guard let revision = try Self.revision(version) else {
      if match == "Exact" {
        throw Self.invalidOptions(
          "resourceVersionMatch", "Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"")
      }
      return nil
    }
    guard ["", "Exact", "NotOlderThan"].contains(match) else {
      throw Self.invalidOptions("resourceVersionMatch", "Unsupported value: \"\(match)\": supported values: \"Exact\", \"NotOlderThan\"")
    }
    let current = try await store.currentRevision()
    guard revision <= current else { throw Self.tooLarge(revision, current) }
    let isExact = match == "Exact" || (match.isEmpty && call.parameter("limit").map { $0 != "0" && !$0.isEmpty } ?? false)
    return isExact ? revision : nil
  }

  static func invalidOptions(_ field: String, _ detail: String) -> APIFailure {
    APIFailure(
      422, "Invalid", "ListOptions.meta.k8s.io \"\" is invalid: \(field): \(detail)",
      details: [
        "group": "meta.k8s.io", "kind": "ListOptions",
        "causes": [
          [
            "reason": detail.hasPrefix("Forbidden") ? "FieldValueForbidden" : "FieldValueNotSupported", "message": .string(detail),
            "field": .string(field),
          ]
        ],
      ])
  }

  static func tooLarge(_ asked: Revision, _ current: Revision) -> APIFailure {
    APIFailure(
      504, "Timeout", "Too large resource version: \(asked), current: \(current)",
      details: ["causes": [["reason": "ResourceVersionTooLarge", "message": "Too large resource version"]], "retryAfterSeconds": 1])
  }

  /// The answer to a token that is too old: it carries another one with which the list can be finished at a newer revision.
  private func expiredList(after: String?) -> APIFailure {
    guard let after else { return .expired("The resourceVersion for the provided list is too old.") }
    var failure = APIFailure.expired(
      "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    failure.continueToken = ContinueToken(revision: -1, after: after).text
    return failure
  }

  private func page(
    prefix: String, after: String?, limit: Int?, at revision: Revision?, _ selection: Selection
  ) async throws -> ListPage {
    if selection.selectsEverything {
      let page = try await store.list(prefix: prefix, after: after, limit: limit, at: revision)
      return ListPage(
        items: page.items, revision: page.revision,
        next: page.more ? page.items.last.map { ContinueToken(revision: page.revision, after: $0.key).text } : nil,
        remaining: page.more ? page.remaining : nil)
    }
    var result = ListPage(items: [], objects: [], revision: 0)
    // A namespaced object's key needs its namespace; without one, all of them are looked through.
    let isComplete =
      !selection.resource.isNamespaced || prefix.split(separator: "/").count > (selection.resource.storageGroup.isEmpty ? 2 : 3)
    if after == nil, revision == nil, isComplete, let name = selection.fields.exact("metadata.name"), !name.isEmpty, !name.contains("/") {
      return try await singleton(prefix + name, selection)
    }
    var cursor = after
    var at = revision
    while true {
      let page = try await store.list(prefix: prefix, after: cursor, limit: Self.scanPageSize, at: at)
      at = page.revision
      result.revision = page.revision
      // A selector sees what the reader will see.
      let shown = try await presented(try page.items.map(decodedForList), as: selection.resource)
      for (item, object) in zip(page.items, shown) {
        guard selection.matches(object) else { continue }
        if let limit, result.items.count == limit {
          result.next = ContinueToken(revision: page.revision, after: result.items.last?.key ?? prefix).text
          return result
        }
        result.items.append(item)
        result.objects?.append(object)
      }
      guard page.more, let last = page.items.last else { return result }
      cursor = last.key
    }
  }

  /// A list of one by its name, which is how clients watch a single object.
  private func singleton(_ key: String, _ selection: Selection) async throws -> ListPage {
    // The revision is read first: a change in between shows up in the watch that starts there.
    let current = try await store.currentRevision()
    guard let value = try await store.get(key, at: nil) else { return ListPage(items: [], objects: [], revision: current) }
    let object = try await presented(try decoded.object(value), as: selection.resource)
    let matches = selection.matches(object)
    return ListPage(items: matches ? [value] : [], objects: matches ? [object] : [], revision: max(current, value.revision))
  }

  /// A large list must not push recent changes out of the decoded objects.
  private func decodedForList(_ value: StoredValue) throws -> JSON { try StoredForm.decode(value.value, revision: value.revision) }

  /// The list as a document: of its stored bytes, where they can be sent as they are.
  func document(_ page: ListPage, _ resource: ResourceInfo) async throws -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(page.items.reduce(256) { $0 + $1.value.count + 40 })
    out.append(contentsOf: "{\"kind\":\"\(resource.listKind)\",\"apiVersion\":\"\(resource.apiVersion)\",\"metadata\":".utf8)
    page.metadata.write(to: &out)
    out.append(contentsOf: ",\"items\":[".utf8)
    if isStoredForm(resource) {
      for (i, item) in page.items.enumerated() {
        if i > 0 { out.append(UInt8(ascii: ",")) }
        StoredForm.splice(item.value, revision: item.revision, into: &out)
      }
    } else {
      for (i, object) in try await objects(page, resource).enumerated() {
        if i > 0 { out.append(UInt8(ascii: ",")) }
        object.write(to: &out)
      }
    }
    out.append(contentsOf: "]}".utf8)
    return out
  }

  /// The list's objects as values.
  func objects(_ page: ListPage, _ resource: ResourceInfo) async throws -> [JSON] {
    if let objects = page.objects { return objects }
    return try await presented(try page.items.map(decodedForList), as: resource)
  }
}

extension ResourceInfo {
  var listKind: String { custom?.listKind ?? kind + "List" }
}
