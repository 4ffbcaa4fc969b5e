/// A time zone: a fixed offset, or a file of the IANA database (RFC 8536, TZif).
struct CELTimeZone: Sendable {
  private enum Kind {
    case fixed(Int)
    case file(transitions: [Int64], offsets: [Int], first: Int, rule: PosixZone?)
  }
  private let kind: Kind

  /// `+02:00`, `-09:30`, `02:00`, `UTC` or an IANA name; nil where it is none of them.
  init?(name: String, file: (String) -> [UInt8]?) {
    if name.isEmpty || name == "UTC" {
      kind = .fixed(0)
    } else if name.contains(":") {
      let isNegative = name.hasPrefix("-")
      let digits = isNegative || name.hasPrefix("+") ? name.dropFirst() : name[...]
      let parts = digits.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count == 2, let hours = Int(parts[0]), let minutes = Int(parts[1]), (0...23).contains(hours),
        (0...59).contains(minutes)
      else { return nil }
      kind = .fixed((isNegative ? -1 : 1) * (hours * 3600 + minutes * 60))
    } else {
      guard Self.isSafe(name), let bytes = file(name), let parsed = Self.parse(bytes) else { return nil }
      kind = parsed
    }
  }

  /// Names become file names at the caller's: nothing that leaves the database's folder.
  private static func isSafe(_ name: String) -> Bool {
    name.count <= 64
      && name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !$0.isEmpty && !$0.hasPrefix(".") }
      && name.unicodeScalars.allSatisfy { $0.isIdentifierPart || $0 == "/" || $0 == "-" || $0 == "+" }
  }

  /// Seconds east of Greenwich at that moment.
  func offset(at seconds: Int64) -> Int {
    switch kind {
    case .fixed(let offset): return offset
    case .file(let transitions, let offsets, let first, let rule):
      guard let last = transitions.last else { return rule?.offset(at: seconds) ?? first }
      if seconds >= last { return rule?.offset(at: seconds) ?? offsets[offsets.count - 1] }
      var low = -1
      var high = transitions.count
      while high - low > 1 {
        let middle = (low + high) / 2
        if transitions[middle] <= seconds { low = middle } else { high = middle }
      }
      return low < 0 ? first : offsets[low]
    }
  }

  // MARK: TZif

  private static func parse(_ bytes: [UInt8]) -> Kind? {
    func number(_ at: Int, _ width: Int) -> Int64? {
      guard at + width <= bytes.count else { return nil }
      var value: Int64 = width == 4 ? Int64(Int8(bitPattern: bytes[at])) : Int64(Int8(bitPattern: bytes[at]))
      for byte in bytes[(at + 1)..<(at + width)] { value = value << 8 | Int64(byte) }
      return value
    }
    /// Counts of a header: ut, standard, leap, times, types, characters.
    func counts(_ at: Int) -> [Int]? {
      guard at + 44 <= bytes.count, Array(bytes[at..<at + 4]) == Array("TZif".utf8) else { return nil }
      let values = (0..<6).map { Int(number(at + 20 + $0 * 4, 4) ?? -1) }
      return values.allSatisfy { (0...100_000).contains($0) } ? values : nil
    }
    guard var c = counts(0) else { return nil }
    var at = 44
    var width = 4
    if bytes[4] >= UInt8(ascii: "2") {
      at += c[3] * 5 + c[4] * 6 + c[5] + c[2] * 8 + c[1] + c[0]
      guard let second = counts(at) else { return nil }
      c = second
      at += 44
      width = 8
    }
    let types = at + c[3] * (width + 1)
    let end = types + c[4] * 6 + c[5] + c[2] * (width + 4) + c[1] + c[0]
    guard c[4] > 0, end <= bytes.count else { return nil }
    let typeOffsets = (0..<c[4]).map { Int(number(types + $0 * 6, 4) ?? 0) }
    let transitions = (0..<c[3]).map { number(at + $0 * width, width) ?? 0 }
    var offsets: [Int] = []
    for i in 0..<c[3] {
      let type = Int(bytes[at + c[3] * width + i])
      guard type < typeOffsets.count else { return nil }
      offsets.append(typeOffsets[type])
    }
    var rule: PosixZone?
    if width == 8, end + 1 < bytes.count {
      rule = PosixZone(String(decoding: bytes[(end + 1)...].prefix { $0 != 0x0A }, as: UTF8.self))
    }
    return .file(transitions: transitions, offsets: offsets, first: typeOffsets[0], rule: rule)
  }
}

/// The rule for moments after a file's last transition, such as `CET-1CEST,M3.5.0,M10.5.0/3`.
struct PosixZone: Sendable {
  private struct Change { let month: Int, week: Int, day: Int, seconds: Int }
  private let standard: Int
  private let summer: Int
  private let starts: Change?
  private let ends: Change?

  init?(_ text: String) {
    var rest = Substring(text)
    func name() -> Bool {
      if rest.first == "<" {
        guard let close = rest.firstIndex(of: ">") else { return false }
        rest = rest[rest.index(after: close)...]
        return true
      }
      let letters = rest.prefix { $0.isLetter }
      rest = rest[letters.endIndex...]
      return !letters.isEmpty
    }
    func time() -> Int? {
      let isNegative = rest.first == "-"
      if isNegative || rest.first == "+" { rest.removeFirst() }
      let digits = rest.prefix { $0.isNumber || $0 == ":" }
      rest = rest[digits.endIndex...]
      let parts = digits.split(separator: ":").map { Int($0) ?? 0 }
      guard !parts.isEmpty, parts.count <= 3, parts.allSatisfy({ $0 <= 200 }) else { return nil }
      var seconds = 0
      for (i, part) in parts.enumerated() { seconds += part * [3600, 60, 1][i] }
      return isNegative ? -seconds : seconds
    }
    func change() -> Change? {
      guard rest.hasPrefix(",M") else { return nil }
      rest.removeFirst(2)
      let numbers = rest.prefix { $0.isNumber || $0 == "." }
      rest = rest[numbers.endIndex...]
      let parts = numbers.split(separator: ".").map { Int($0) ?? 0 }
      guard parts.count == 3, (1...12).contains(parts[0]), (1...5).contains(parts[1]), (0...6).contains(parts[2])
      else { return nil }
      var seconds = 7200
      if rest.first == "/" {
        rest.removeFirst()
        guard let at = time() else { return nil }
        seconds = at
      }
      return Change(month: parts[0], week: parts[1], day: parts[2], seconds: seconds)
    }
    guard name(), let west = time() else { return nil }
    standard = -west
    guard !rest.isEmpty else {
      (summer, starts, ends) = (standard, nil, nil)
      return
    }
    guard name() else { return nil }
    var summerOffset = standard + 3600
    if let next = rest.first, next != "," {
      guard let west = time() else { return nil }
      summerOffset = -west
    }
    summer = summerOffset
    guard let first = change(), let second = change() else { return nil }
    (starts, ends) = (first, second)
  }

  func offset(at seconds: Int64) -> Int {
    guard let starts, let ends else { return standard }
    let year = CivilTime(seconds: seconds + Int64(standard)).date.year
    let begin = moment(starts, year) - Int64(standard)
    let end = moment(ends, year) - Int64(summer)
    let isSummer = begin < end ? seconds >= begin && seconds < end : seconds >= begin || seconds < end
    return isSummer ? summer : standard
  }

  private func moment(_ change: Change, _ year: Int) -> Int64 {
    let first = CivilDate(year: year, month: change.month, day: 1).daysSinceEpoch
    let weekday = ((first + 4) % 7 + 7) % 7
    var day = (change.day - weekday + 7) % 7 + (change.week - 1) * 7
    while day >= CivilDate.daysIn(month: change.month, year: year) { day -= 7 }
    return Int64(first + day) * 86400 + Int64(change.seconds)
  }
}
