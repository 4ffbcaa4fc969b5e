/// When a zone's clocks differ from UTC, and by how much: the 64-bit part of a TZif file (RFC 8536).
///
/// Times after the file's last transition keep its last offset, unless its footer tells a yearly rule.
struct TimeZoneRules: Sendable {
  private let transitions: [Int64]
  private let offsets: [Int]
  private let first: Int
  private let footer: YearlyRule?

  static let utc = TimeZoneRules()

  private init() {
    transitions = []
    offsets = []
    first = 0
    footer = nil
  }

  init?(file bytes: [UInt8]) {
    func number(_ at: Int, _ width: Int) -> Int64 {
      bytes[at..<at + width].dropFirst().reduce(Int64(Int8(bitPattern: bytes[at]))) { $0 << 8 | Int64($1) }
    }
    func counts(_ at: Int) -> [Int]? {
      guard at + 44 <= bytes.count, Array(bytes[at..<at + 4]) == Array("TZif".utf8) else { return nil }
      let counts = (0..<6).map { Int(number(at + 20 + $0 * 4, 4)) }
      return counts.allSatisfy { (0...100_000).contains($0) } ? counts : nil
    }
    // The counts are: UT, standard, leap seconds, transitions, types, characters.
    guard let old = counts(0), bytes[4] >= UInt8(ascii: "2") else { return nil }
    let second = 44 + old[3] * 5 + old[4] * 6 + old[5] + old[2] * 8 + old[1] + old[0]
    guard let new = counts(second), new[4] > 0 else { return nil }
    let times = second + 44
    let types = times + new[3] * 9
    let end = types + new[4] * 6 + new[5] + new[2] * 12 + new[1] + new[0]
    guard end <= bytes.count else { return nil }
    let typeOffsets = (0..<new[4]).map { Int(number(types + $0 * 6, 4)) }
    let isDaylight = (0..<new[4]).map { bytes[types + $0 * 6 + 4] != 0 }
    let indexes = (0..<new[3]).map { Int(bytes[times + new[3] * 8 + $0]) }
    guard indexes.allSatisfy({ $0 < new[4] }) else { return nil }
    transitions = (0..<new[3]).map { number(times + $0 * 8, 8) }
    offsets = indexes.map { typeOffsets[$0] }
    first = typeOffsets[isDaylight.firstIndex(of: false) ?? 0]
    let text = bytes[end...].drop { $0 == 10 }.prefix { $0 != 10 }
    footer = YearlyRule(String(decoding: text, as: UTF8.self))
  }

  /// Seconds east of Greenwich.
  func offset(at seconds: Int64) -> Int {
    guard let last = transitions.last else { return footer?.offset(at: seconds) ?? first }
    if seconds >= last { return footer?.offset(at: seconds) ?? offsets[offsets.count - 1] }
    var low = -1
    var high = transitions.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if transitions[middle] <= seconds { low = middle } else { high = middle }
    }
    return low < 0 ? first : offsets[low]
  }

  /// The moment at which the zone's clocks show a time (in seconds as if it were UTC), the first where they show it
  /// twice; nil where they never do.
  func moment(of local: Int64) -> Int64? {
    let around = [local - 86_400, local, local + 86_400].map { offset(at: $0) }
    return Set(around).map { local - Int64($0) }.filter { $0 + Int64(offset(at: $0)) == local }.min()
  }
}

/// The rule after a TZif file's last transition, such as `CET-1CEST,M3.5.0,M10.5.0/3` (POSIX.1 TZ, dates as Mm.w.d only).
struct YearlyRule: Sendable {
  private struct Switch {
    let month, week, weekday, seconds: Int
  }
  private let standard: Int
  private let daylight: (offset: Int, begins: Switch, ends: Switch)?

  init?(_ text: String) {
    let parts = text.split(separator: ",").map(String.init)
    guard let zone = parts.first else { return nil }
    var rest = Substring(zone)
    func skipName() {
      if rest.first == "<" { rest = rest.drop { $0 != ">" }.dropFirst() } else { rest = rest.drop { $0.isLetter } }
    }
    func seconds() -> Int? {
      let sign = rest.first == "-" ? -1 : 1
      if rest.first == "-" || rest.first == "+" { rest = rest.dropFirst() }
      let digits = rest.prefix { $0.isNumber || $0 == ":" }
      rest = rest.dropFirst(digits.count)
      let values = digits.split(separator: ":").compactMap { Int($0) }
      guard let hours = values.first else { return nil }
      return sign * (hours * 3600 + (values.count > 1 ? values[1] * 60 : 0) + (values.count > 2 ? values[2] : 0))
    }
    skipName()
    guard let west = seconds() else { return nil }
    standard = -west
    guard !rest.isEmpty else {
      daylight = nil
      return
    }
    skipName()
    let offset = rest.isEmpty ? standard + 3600 : -(seconds() ?? 0)
    func date(_ text: String) -> Switch? {
      let halves = text.split(separator: "/")
      guard let first = halves.first, first.first == "M" else { return nil }
      let values = first.dropFirst().split(separator: ".").compactMap { Int($0) }
      guard values.count == 3 else { return nil }
      var time = 7200
      if halves.count == 2 {
        rest = halves[1]
        time = seconds() ?? 7200
      }
      return Switch(month: values[0], week: values[1], weekday: values[2], seconds: time)
    }
    guard parts.count == 3, let begins = date(parts[1]), let ends = date(parts[2]) else { return nil }
    daylight = (offset, begins, ends)
  }

  private func moment(_ change: Switch, year: Int) -> Int64 {
    var day = LocalTime(secondsSinceEpoch: 0)
    (day.year, day.month, day.day) = (year, change.month, 1)
    let firstOfMonth = (change.weekday - day.weekday + 7) % 7
    day.day = 1 + firstOfMonth + (change.week - 1) * 7
    // The fifth is the last: a month has four or five.
    while day.secondsSinceEpoch == 0 || LocalTime(secondsSinceEpoch: day.secondsSinceEpoch).month != change.month { day.day -= 7 }
    return day.secondsSinceEpoch + Int64(change.seconds)
  }

  func offset(at seconds: Int64) -> Int {
    guard let daylight else { return standard }
    let year = LocalTime(secondsSinceEpoch: seconds + Int64(standard)).year
    let begins = moment(daylight.begins, year: year) - Int64(standard)
    let ends = moment(daylight.ends, year: year) - Int64(daylight.offset)
    let isDaylight = begins < ends ? seconds >= begins && seconds < ends : seconds >= begins || seconds < ends
    return isDaylight ? daylight.offset : standard
  }
}
