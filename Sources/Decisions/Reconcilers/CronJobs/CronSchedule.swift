import KubernetesAPI

/// A schedule of five fields (minute, hour, day of month, month, day of week), or one of the names `@hourly`, `@daily`,
/// `@weekly`, `@monthly`, `@yearly`, or `@every 90s`.
struct CronSchedule: Equatable {
  /// Years that are searched for the next time: 29 February comes at least every eight years.
  static let yearsMax = 9

  private let minutes, hours, days, months, weekdays: UInt64
  /// A day counts when both day fields match, where one of them is `*`; else when either does.
  private let isEitherDay: Bool
  /// Seconds, of `@every`.
  private let interval: Double?

  init?(_ text: String) {
    let names = [
      "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
      "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
    ]
    if text.hasPrefix("@every ") {
      guard let seconds = Self.seconds(String(text.dropFirst(7))) else { return nil }
      interval = max(1, seconds.rounded(.down))
      (minutes, hours, days, months, weekdays, isEitherDay) = (0, 0, 0, 0, 0, false)
      return
    }
    interval = nil
    let fields = (names[text] ?? text).split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
    let monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    let dayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    guard fields.count == 5, let minutes = Self.field(fields[0], 0...59), let hours = Self.field(fields[1], 0...23),
      let days = Self.field(fields[2], 1...31), let months = Self.field(fields[3], 1...12, monthNames, offset: 1),
      let weekdays = Self.field(fields[4], 0...6, dayNames)
    else { return nil }
    (self.minutes, self.hours, self.days, self.months, self.weekdays) = (minutes, hours, days, months, weekdays)
    isEitherDay = !Self.isAny(fields[2]) && !Self.isAny(fields[4])
  }

  private static func isAny(_ field: String) -> Bool { field.first == "*" || field.first == "?" }

  /// A Go duration such as `1h30m`.
  private static func seconds(_ text: String) -> Double? {
    let units: [(String, Double)] = [("ms", 0.001), ("us", 1e-6), ("ns", 1e-9), ("h", 3600), ("m", 60), ("s", 1)]
    var rest = Substring(text)
    var total = 0.0
    while !rest.isEmpty {
      let number = rest.prefix { $0.isNumber || $0 == "." }
      rest = rest.dropFirst(number.count)
      guard let value = Double(number), let unit = units.first(where: { rest.hasPrefix($0.0) }) else { return nil }
      rest = rest.dropFirst(unit.0.count)
      total += value * unit.1
    }
    return total > 0 ? total : nil
  }

  /// Bits of the values that a field names: lists of values, ranges and steps.
  private static func field(_ text: String, _ bounds: ClosedRange<Int>, _ names: [String] = [], offset: Int = 0) -> UInt64? {
    func value(_ text: Substring) -> Int? {
      if let i = names.firstIndex(of: text.lowercased()) { return i + offset }
      guard text.allSatisfy(\.isNumber) else { return nil }
      return Int(text)
    }
    var bits: UInt64 = 0
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let halves = part.split(separator: "/", omittingEmptySubsequences: false)
      guard (1...2).contains(halves.count) else { return nil }
      var range = bounds
      if halves[0] != "*", halves[0] != "?" {
        let ends = halves[0].split(separator: "-", omittingEmptySubsequences: false)
        guard (1...2).contains(ends.count), let first = value(ends[0]) else { return nil }
        var last = ends.count == 2 ? value(ends[1]) ?? -1 : halves.count == 2 ? bounds.upperBound : first
        // Sunday may be written as 7.
        if names.first == "sun", last == 7, first == 7 { last = 0 }
        let start = names.first == "sun" && first == 7 ? 0 : first
        guard start <= last, bounds.contains(start), bounds.contains(last) else { return nil }
        range = start...last
      }
      guard let step = halves.count == 2 ? Int(halves[1]) : 1, step > 0 else { return nil }
      for value in stride(from: range.lowerBound, through: range.upperBound, by: step) { bits |= 1 << UInt64(value) }
    }
    return bits
  }

  /// The first time after a moment, by the clocks of a zone; nil where there is none.
  func next(after moment: Timestamp, in zone: TimeZoneRules) -> Timestamp? {
    if let interval { return Timestamp(secondsSinceEpoch: moment.secondsSinceEpoch).advanced(bySeconds: interval) }
    var local = LocalTime(secondsSinceEpoch: moment.secondsSinceEpoch + Int64(zone.offset(at: moment.secondsSinceEpoch)))
    local.second = 0
    local.minute += 1
    local.normalize()
    let lastYear = local.year + Self.yearsMax
    while local.year < lastYear {
      if months & (1 << UInt64(local.month)) == 0 {
        local.nextMonth()
      } else if !isDay(local) {
        local.nextDay()
      } else if hours & (1 << UInt64(local.hour)) == 0 {
        local.nextHour()
      } else if minutes & (1 << UInt64(local.minute)) == 0 {
        local.minute += 1
        local.normalize()
      } else if let found = zone.moment(of: local.secondsSinceEpoch), found > moment.secondsSinceEpoch {
        return Timestamp(secondsSinceEpoch: found)
      } else {
        // The clocks skip this minute.
        local.minute += 1
        local.normalize()
      }
    }
    return nil
  }

  private func isDay(_ local: LocalTime) -> Bool {
    let byDay = days & (1 << UInt64(local.day)) != 0
    let byWeekday = weekdays & (1 << UInt64(local.weekday)) != 0
    return isEitherDay ? byDay || byWeekday : byDay && byWeekday
  }
}

/// A date and a time of day on some clock.
struct LocalTime {
  var year, month, day, hour, minute, second: Int

  init(secondsSinceEpoch: Int64) {
    let text = Timestamp(secondsSinceEpoch: secondsSinceEpoch).rfc3339
    let parts = text.split(whereSeparator: { "-T:Z".contains($0) }).map { Int($0) ?? 0 }
    (year, month, day, hour, minute, second) = (parts[0], parts[1], parts[2], parts[3], parts[4], parts[5])
  }

  var secondsSinceEpoch: Int64 {
    func pad(_ value: Int, _ width: Int = 2) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    let text = "\(pad(year, 4))-\(pad(month))-\(pad(day))T\(pad(hour)):\(pad(minute)):\(pad(second))Z"
    return Timestamp(rfc3339: text)?.secondsSinceEpoch ?? 0
  }

  /// 0 is Sunday.
  var weekday: Int {
    let days = Int((secondsSinceEpoch - Int64(hour * 3600 + minute * 60 + second)) / 86_400)
    return ((days + 4) % 7 + 7) % 7
  }

  private var daysInMonth: Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  mutating func normalize() {
    if minute > 59 { (minute, hour) = (0, hour + 1) }
    if hour > 23 { (hour, day) = (0, day + 1) }
    if day > daysInMonth { (day, month) = (1, month + 1) }
    if month > 12 { (month, year) = (1, year + 1) }
  }
  mutating func nextHour() {
    (minute, hour) = (0, hour + 1)
    normalize()
  }
  mutating func nextDay() {
    (minute, hour, day) = (0, 0, day + 1)
    normalize()
  }
  mutating func nextMonth() {
    (minute, hour, day, month) = (0, 0, 1, month + 1)
    normalize()
  }
}
