import APIMachinery
import JSONCodec
import KubernetesAPI
import KubernetesClient
import RevisionStore

/// A watch as it was asked for.
struct WatchRequest: Sendable {
  /// A watch without `timeoutSeconds` ends after a random time in this range of seconds, as upstream, so that clients spread.
  static let secondsDefault = 1800...3600
  /// Seconds between bookmarks.
  static let bookmarkInterval = 60.0

  let resource: ResourceInfo
  let prefix: String
  let selection: Selection
  /// Nil: everything there is first, as ADDED, then what follows.
  let from: Revision?
  let sendsInitialEvents: Bool
  let allowsBookmarks: Bool
  let seconds: Int
  var form = AnswerForm()
}

/// One event of a watch, not yet bytes.
struct WatchItem: Sendable {
  enum Content: Sendable {
    /// As stored; nothing was decoded for it.
    case stored(value: [UInt8], revision: Revision)
    case object(JSON)
  }
  let kind: WatchEvent.Kind
  let content: Content
}

extension Resources {
  func watchRequest(_ call: APICall, _ request: ResourceRequest) throws -> WatchRequest {
    var selection = try Selection(call, request)
    if let name = request.name { selection.fields.requirements.append(try FieldSelector.parse("metadata.name=\(name)").requirements[0]) }
    let sendsInitial = call.parameter("sendInitialEvents").map { $0 == "true" || $0 == "1" }
    let match = call.parameter("resourceVersionMatch") ?? ""
    if sendsInitial != nil, match != "NotOlderThan" {
      throw Self.invalidOptions(
        "resourceVersionMatch", "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    }
    if sendsInitial == nil, !match.isEmpty {
      throw Self.invalidOptions(
        "resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
    }
    let revision = try Self.revision(call.parameter("resourceVersion"))
    var prefix = ResourceRequest.prefix(request.resource, namespace: request.namespace)
    if request.namespace == nil, request.resource.isNamespaced, let namespace = selection.fields.exact("metadata.namespace") {
      prefix += namespace + "/"
    }
    return WatchRequest(
      resource: request.resource, prefix: prefix, selection: selection,
      from: sendsInitial == true ? nil : revision, sendsInitialEvents: sendsInitial == true,
      allowsBookmarks: call.flag("allowWatchBookmarks"),
      seconds: call.parameter("timeoutSeconds").flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
        ?? Int.random(in: WatchRequest.secondsDefault), form: call.answerForm ?? AnswerForm())
  }

  /// Runs a watch until its time is over, its reader leaves or the store ends it. `yield` is awaited for each group of
  /// events, so a slow reader slows only its own stream.
  func run(_ watch: WatchRequest, _ yield: @Sendable ([WatchItem]) async throws -> Void) async throws {
    var revision: Revision
    if let from = watch.from {
      let current = try await store.currentRevision()
      guard from <= current else { throw Self.tooLarge(from, current) }
      revision = from
    } else {
      revision = try await initialEvents(watch, yield)
    }
    let changes: RevisionWatch
    do {
      changes = try await store.watch(prefix: watch.prefix, from: revision)
    } catch let error as RevisionStoreError {
      guard case .compacted = error.code else { throw error }
      throw APIFailure.expired("too old resource version: \(revision)")
    }
    var place: UInt64?
    if watch.resource.custom != nil {
      place = catalog.watching(watch.resource) { changes.cancel() }
      if place == nil { changes.cancel() }
    }
    defer { if let place { catalog.left(place) } }
    let timer = Task {
      // Bookmarks keep a quiet client's version young; the last one comes at the end of the watch.
      let end = ContinuousClock.now + .seconds(watch.seconds)
      while ContinuousClock.now < end {
        let pause = min(.seconds(WatchRequest.bookmarkInterval), end - ContinuousClock.now)
        try await Task.sleep(for: pause, tolerance: .seconds(1))
        if watch.allowsBookmarks { changes.requestProgress() }
      }
      changes.cancel()
    }
    defer { timer.cancel() }
    try await withTaskCancellationHandler {
      for try await batch in changes {
        var items: [WatchItem] = []
        for event in batch.events { if let item = try await item(event, watch) { items.append(item) } }
        if batch.events.isEmpty, watch.allowsBookmarks { items.append(bookmark(watch, batch.completeTo)) }
        if !items.isEmpty { try await yield(items) }
      }
    } onCancel: {
      changes.cancel()
    }
  }

  private func initialEvents(_ watch: WatchRequest, _ yield: @Sendable ([WatchItem]) async throws -> Void) async throws -> Revision {
    var after: String?
    var at: Revision?
    while true {
      let page = try await store.list(prefix: watch.prefix, after: after, limit: Self.scanPageSize, at: at)
      at = page.revision
      var items: [WatchItem] = []
      if isStoredForm(watch.resource) {
        for value in page.items {
          if !watch.selection.selectsEverything, !watch.selection.matches(try StoredForm.decode(value.value, revision: value.revision)) {
            continue
          }
          items.append(WatchItem(kind: .added, content: .stored(value: value.value, revision: value.revision)))
        }
      } else {
        let shown = try await presented(
          try page.items.map { try StoredForm.decode($0.value, revision: $0.revision) }, as: watch.resource)
        items = shown.filter(watch.selection.matches).map { WatchItem(kind: .added, content: .object($0)) }
      }
      if !page.more, watch.sendsInitialEvents { items.append(bookmark(watch, page.revision, endsInitialEvents: true)) }
      try await yield(items)
      guard page.more, let last = page.items.last else { return page.revision }
      after = last.key
    }
  }

  private func bookmark(_ watch: WatchRequest, _ revision: Revision, endsInitialEvents: Bool = false) -> WatchItem {
    var object: JSON = [
      "kind": .string(watch.resource.kind), "apiVersion": .string(watch.resource.apiVersion),
      "metadata": ["resourceVersion": .string(String(revision)), "creationTimestamp": .null],
    ]
    if endsInitialEvents { object["metadata"]["annotations"] = ["k8s.io/initial-events-end": "true"] }
    return WatchItem(kind: .bookmark, content: .object(object))
  }

  /// What a change is to a reader with a selector: an object that begins to match is ADDED, one that ceases to is DELETED.
  private func item(_ event: ChangeEvent, _ watch: WatchRequest) async throws -> WatchItem? {
    guard isStoredForm(watch.resource) else { return try await shownItem(event, watch) }
    let content = WatchItem.Content.stored(value: event.value, revision: event.revision)
    if watch.selection.selectsEverything {
      let kind: WatchEvent.Kind = event.kind == .delete ? .deleted : event.previous == nil ? .added : .modified
      return WatchItem(kind: kind, content: content)
    }
    let matched = try event.previous.map { watch.selection.matches(try decoded.object($0)) } ?? false
    let matches = event.kind == .put ? watch.selection.matches(try decoded.object(event.value, revision: event.revision)) : false
    guard let kind = Self.kind(event, matched: matched, matches: matches) else { return nil }
    // The reader gets the state it knew, with the version of the change.
    let isLeaving = kind == .deleted && event.kind == .put
    return WatchItem(
      kind: kind, content: isLeaving ? .stored(value: event.previous?.value ?? event.value, revision: event.revision) : content)
  }

  /// The same where objects are shown in another form than the stored one.
  private func shownItem(_ event: ChangeEvent, _ watch: WatchRequest) async throws -> WatchItem? {
    func shown(_ value: [UInt8], _ revision: Revision) async throws -> JSON {
      try await presented(try StoredForm.decode(value, revision: revision), as: watch.resource)
    }
    let object = try await shown(event.value, event.revision)
    var before: JSON?
    if let previous = event.previous { before = try await shown(previous.value, event.revision) }
    let matched = before.map(watch.selection.matches) ?? false
    guard let kind = Self.kind(event, matched: matched, matches: event.kind == .put && watch.selection.matches(object)) else { return nil }
    return WatchItem(kind: kind, content: .object(kind == .deleted && event.kind == .put ? before ?? object : object))
  }

  private static func kind(_ event: ChangeEvent, matched: Bool, matches: Bool) -> WatchEvent.Kind? {
    switch (matched, matches) {
    case (false, true): .added
    case (true, true): .modified
    case (true, false): .deleted
    case (false, false): nil
    }
  }

  /// The event as a value, for readers in this process and for tables.
  func object(_ item: WatchItem) throws -> JSON {
    switch item.content {
    case .object(let object): return object
    case .stored(let value, let revision):
      // A deleted event may carry an older state under the deletion's revision: such a pair is not remembered.
      return item.kind == .deleted ? try StoredForm.decode(value, revision: revision) : try decoded.object(value, revision: revision)
    }
  }

  /// Appends the event: a line of JSON, or a frame of protobuf.
  func write(_ item: WatchItem, _ watch: WatchRequest, isFirst: Bool, to out: inout [UInt8]) throws {
    let isJSON = watch.form.encoding != .protobuf
    if isJSON, case .stored(let value, let revision) = item.content, watch.form.rendering == .object {
      out.append(contentsOf: "{\"type\":\"\(item.kind.rawValue)\",\"object\":".utf8)
      StoredForm.splice(value, revision: revision, into: &out)
      out.append(contentsOf: "}\n".utf8)
      return
    }
    var object = try object(item)
    if item.kind != .error {
      object = watch.form.rendering.render(object, watch.resource, isFirst: isFirst, isBookmark: item.kind == .bookmark)
    }
    try write(kind: item.kind, object, isJSON: isJSON, to: &out)
  }

  /// Appends an event that is a value already.
  func write(kind: WatchEvent.Kind, _ object: JSON, isJSON: Bool, to out: inout [UInt8]) throws {
    guard isJSON else { return try Encoding.protobufFrame(kind: kind.rawValue, object: object, registry, into: &out) }
    out.append(contentsOf: "{\"type\":\"\(kind.rawValue)\",\"object\":".utf8)
    object.write(to: &out)
    out.append(contentsOf: "}\n".utf8)
  }
}
