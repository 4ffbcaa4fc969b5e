/// A moment: seconds since 1970 and nanoseconds (0 ..< 1,000,000,000), from year 1 to year 9999.
package struct CELTimestamp: Sendable, Hashable, Comparable {
  package let seconds: Int64
  package let nanoseconds: Int32

  static let secondsMin: Int64 = -62_135_596_800
  static let secondsMax: Int64 = 253_402_300_799

  /// Nil outside of years 1 to 9999.
  package init?(seconds: Int64, nanoseconds: Int32 = 0) {
    guard (Self.secondsMin...Self.secondsMax).contains(seconds), (0..<1_000_000_000).contains(nanoseconds) else { return nil }
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  package static func < (a: Self, b: Self) -> Bool { (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds) }

  func adding(_ duration: CELDuration) -> CELTimestamp? {
    let total = Int128(seconds) * 1_000_000_000 + Int128(nanoseconds) + Int128(duration.nanoseconds)
    let (quotient, remainder) = total.floorDivided(by: 1_000_000_000)
    return Int64(exactly: quotient).flatMap { CELTimestamp(seconds: $0, nanoseconds: Int32(remainder)) }
  }

  /// Nil where the distance does not fit 64 bits of nanoseconds (292 years).
  func distance(from other: CELTimestamp) -> CELDuration? {
    let total =
      (Int128(seconds) - Int128(other.seconds)) * 1_000_000_000 + Int128(nanoseconds) - Int128(other.nanoseconds)
    return Int64(exactly: total).map(CELDuration.init(nanoseconds:))
  }

  /// Reads RFC 3339: `2009-02-13T23:31:30.5Z`, `...+02:00`.
  package init?(rfc3339 text: String) {
    var reader = DigitReader(Array(text.utf8))
    guard let year = reader.digits(4), reader.take("-"), let month = reader.digits(2), reader.take("-"),
      let day = reader.digits(2), reader.take("T") || reader.take("t"), let hour = reader.digits(2), reader.take(":"),
      let minute = reader.digits(2), reader.take(":"), let second = reader.digits(2)
    else { return nil }
    var nanoseconds = 0
    if reader.take(".") || reader.take(",") {
      guard let fraction = reader.fraction() else { return nil }
      nanoseconds = fraction
    }
    var offset = 0
    if !(reader.take("Z") || reader.take("z")) {
      let sign: Int
      if reader.take("+") { sign = 1 } else if reader.take("-") { sign = -1 } else { return nil }
      guard let hours = reader.digits(2), reader.take(":"), let minutes = reader.digits(2), hours < 24, minutes < 60
      else { return nil }
      offset = sign * (hours * 3600 + minutes * 60)
    }
    guard reader.isAtEnd, (1...12).contains(month), day >= 1, day <= CivilDate.daysIn(month: month, year: year),
      hour < 24, minute < 60, second < 60
    else { return nil }
    let days = CivilDate(year: year, month: month, day: day).daysSinceEpoch
    self.init(
      seconds: Int64(days) * 86400 + Int64(hour * 3600 + minute * 60 + second - offset), nanoseconds: Int32(nanoseconds))
  }

  /// RFC 3339 in UTC, with as many digits of the fraction as it has.
  package var rfc3339: String {
    let parts = CivilTime(seconds: seconds)
    func pad(_ value: Int, _ width: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    let date = "\(pad(parts.date.year, 4))-\(pad(parts.date.month, 2))-\(pad(parts.date.day, 2))"
    let time = "\(pad(parts.hour, 2)):\(pad(parts.minute, 2)):\(pad(parts.second, 2))"
    return "\(date)T\(time)\(fractionText(Int(nanoseconds)))Z"
  }
}

/// `.5` for 500,000,000; nothing for 0.
private func fractionText(_ nanoseconds: Int) -> String {
  guard nanoseconds != 0 else { return "" }
  var digits = String(nanoseconds)
  digits = String(repeating: "0", count: 9 - digits.count) + digits
  while digits.hasSuffix("0") { digits.removeLast() }
  return "." + digits
}

/// A span of time in nanoseconds (as in Go: at most about 292 years).
package struct CELDuration: Sendable, Hashable, Comparable {
  package let nanoseconds: Int64
  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
  package static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Seconds with the fraction, as protobuf's JSON form writes it: `90.5s`.
  package var text: String {
    let magnitude = nanoseconds.magnitude
    let sign = nanoseconds < 0 ? "-" : ""
    return "\(sign)\(magnitude / 1_000_000_000)\(fractionText(Int(magnitude % 1_000_000_000)))s"
  }

  /// Reads Go's form: `1h30m`, `-1.5s`, `100ms`, `0`.
  package init?(_ text: String) {
    var reader = DigitReader(Array(text.utf8))
    let isNegative = reader.take("-")
    if !isNegative { _ = reader.take("+") }
    guard !reader.isAtEnd else { return nil }
    if reader.rest == Array("0".utf8) {
      self.init(nanoseconds: 0)
      return
    }
    var total: Int128 = 0
    while !reader.isAtEnd {
      guard let part = reader.durationPart() else { return nil }
      total += part
      guard total <= Int128(Int64.max) + 1 else { return nil }
    }
    guard let value = Int64(exactly: isNegative ? -total : total) else { return nil }
    self.init(nanoseconds: value)
  }
}

extension Int128 {
  /// Division that rounds down, with a remainder that is never negative.
  func floorDivided(by divisor: Int128) -> (quotient: Int128, remainder: Int128) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}

/// Reads numbers of fixed width from ASCII.
private struct DigitReader {
  let bytes: [UInt8]
  var at = 0
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { at == bytes.count }
  var rest: [UInt8] { Array(bytes[at...]) }

  mutating func take(_ character: Character) -> Bool {
    guard at < bytes.count, bytes[at] == character.asciiValue else { return false }
    at += 1
    return true
  }

  mutating func digit() -> Int? {
    guard at < bytes.count, (0x30...0x39).contains(bytes[at]) else { return nil }
    at += 1
    return Int(bytes[at - 1] - 0x30)
  }

  mutating func digits(_ count: Int) -> Int? {
    var value = 0
    for _ in 0..<count {
      guard let next = digit() else { return nil }
      value = value * 10 + next
    }
    return value
  }

  /// Digits after the point as nanoseconds; what is finer is dropped.
  mutating func fraction() -> Int? {
    var value = 0
    var count = 0
    while let next = digit() {
      if count < 9 { value = value * 10 + next }
      count += 1
    }
    guard count > 0 else { return nil }
    for _ in min(count, 9)..<9 { value *= 10 }
    return value
  }

  /// A number with its unit, in nanoseconds.
  mutating func durationPart() -> Int128? {
    var whole: Int128 = 0
    var sawDigit = false
    while let next = digit() {
      sawDigit = true
      whole = whole * 10 + Int128(next)
      guard whole < 1 << 64 else { return nil }
    }
    var fraction: Int128 = 0
    var scale: Int128 = 1
    if take(".") {
      while let next = digit() {
        sawDigit = true
        if scale < 1_000_000_000_000_000_000 {
          fraction = fraction * 10 + Int128(next)
          scale *= 10
        }
      }
    }
    guard sawDigit else { return nil }
    var unit: [UInt8] = []
    while at < bytes.count, bytes[at] != 0x2E, !(0x30...0x39).contains(bytes[at]) {
      unit.append(bytes[at])
      at += 1
    }
    let nanoseconds: Int128
    switch String(decoding: unit, as: UTF8.self) {
    case "ns": nanoseconds = 1
    case "us", "\u{B5}s", "\u{3BC}s": nanoseconds = 1_000
    case "ms": nanoseconds = 1_000_000
    case "s": nanoseconds = 1_000_000_000
    case "m": nanoseconds = 60_000_000_000
    case "h": nanoseconds = 3_600_000_000_000
    default: return nil
    }
    return whole * nanoseconds + fraction * nanoseconds / scale
  }
}

/// A day of the proleptic Gregorian calendar.
struct CivilDate {
  let year: Int
  let month: Int
  let day: Int

  static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

  static func daysIn(month: Int, year: Int) -> Int {
    switch month {
    case 2: isLeap(year) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days since 1970-01-01; counts in eras of 400 years that start in March, so that leap days come last.
  var daysSinceEpoch: Int {
    let y = month <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  init(year: Int, month: Int, day: Int) {
    self.year = year
    self.month = month
    self.day = day
  }

  init(daysSinceEpoch: Int) {
    let z = daysSinceEpoch + 719_468
    let era = (z >= 0 ? z : z - 146_096) / 146_097
    let dayOfEra = z - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shifted + 2) / 5 + 1
    month = shifted < 10 ? shifted + 3 : shifted - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  /// 0 for the first of January.
  var dayOfYear: Int { daysSinceEpoch - CivilDate(year: year, month: 1, day: 1).daysSinceEpoch }
}

/// A moment's parts on the clock on the wall; seconds include the zone's offset already.
struct CivilTime {
  let date: CivilDate
  let hour: Int
  let minute: Int
  let second: Int
  /// 0 for Sunday.
  let dayOfWeek: Int

  init(seconds: Int64) {
    let (days, rest) = Int128(seconds).floorDivided(by: 86400)
    date = CivilDate(daysSinceEpoch: Int(days))
    hour = Int(rest) / 3600
    minute = Int(rest) % 3600 / 60
    second = Int(rest) % 60
    dayOfWeek = ((Int(days) + 4) % 7 + 7) % 7
  }
}
