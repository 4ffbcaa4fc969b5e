/// A moment, in nanoseconds since 1970-01-01T00:00:00Z.
///
/// Kubernetes writes `Time` to the second and `MicroTime` to the microsecond (RFC 3339, UTC).
package struct Timestamp: Sendable, Hashable, Comparable {
  package var nanosecondsSinceEpoch: Int64

  package init(nanosecondsSinceEpoch: Int64) { self.nanosecondsSinceEpoch = nanosecondsSinceEpoch }
  /// Moments outside of the years 1678 to 2262 become the nearest that fits: times come from strangers.
  package init(secondsSinceEpoch: Int64) {
    let (value, overflow) = secondsSinceEpoch.multipliedReportingOverflow(by: 1_000_000_000)
    nanosecondsSinceEpoch = overflow ? (secondsSinceEpoch < 0 ? .min : .max) : value
  }

  package static func < (a: Timestamp, b: Timestamp) -> Bool { a.nanosecondsSinceEpoch < b.nanosecondsSinceEpoch }

  package func advanced(bySeconds seconds: Double) -> Timestamp {
    let delta = Int64(max(-9e18, min(9e18, seconds * 1e9)))
    let (value, overflow) = nanosecondsSinceEpoch.addingReportingOverflow(delta)
    return Timestamp(nanosecondsSinceEpoch: overflow ? (delta < 0 ? .min : .max) : value)
  }

  /// Seconds from `other` to this moment.
  package func seconds(since other: Timestamp) -> Double {
    Double(nanoseconds(since: other)) / 1e9
  }

  /// Nanoseconds from `other` to this moment.
  package func nanoseconds(since other: Timestamp) -> Int64 {
    let (value, overflow) = nanosecondsSinceEpoch.subtractingReportingOverflow(other.nanosecondsSinceEpoch)
    return overflow ? (self < other ? -.max : .max) : value
  }

  /// Whole seconds since the epoch, rounded down.
  package var secondsSinceEpoch: Int64 {
    let (quotient, remainder) = nanosecondsSinceEpoch.quotientAndRemainder(dividingBy: 1_000_000_000)
    return remainder < 0 ? quotient - 1 : quotient
  }

  private var nanosecond: Int64 { nanosecondsSinceEpoch - secondsSinceEpoch * 1_000_000_000 }
}

#if canImport(Glibc)
  import Glibc

  extension Timestamp {
    package static var now: Timestamp {
      var time = timespec()
      clock_gettime(CLOCK_REALTIME, &time)
      return Timestamp(nanosecondsSinceEpoch: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }
  }
#endif

extension Timestamp {
  /// Days since the epoch to a civil date (Howard Hinnant's algorithm, proleptic Gregorian calendar).
  private static func civil(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let z = days + 719_468
    let era = (z >= 0 ? z : z - 146_096) / 146_097
    let dayOfEra = z - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
  }

  private static func days(fromYear year: Int64, month: Int64, day: Int64) -> Int64 {
    let y = month <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func pad(_ value: Int64, _ width: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }

  private var wholeSeconds: String {
    let seconds = secondsSinceEpoch
    let days = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
    let rest = seconds - days * 86_400
    let date = Self.civil(fromDays: days)
    return Self.pad(date.year, 4) + "-" + Self.pad(date.month, 2) + "-" + Self.pad(date.day, 2) + "T"
      + Self.pad(rest / 3600, 2) + ":" + Self.pad(rest / 60 % 60, 2) + ":" + Self.pad(rest % 60, 2)
  }

  /// `2026-11-23T10:00:00Z`, as in metav1.Time.
  package var rfc3339: String { wholeSeconds + "Z" }
  /// `2026-11-23T10:00:00.123456Z`, as in metav1.MicroTime.
  package var rfc3339Micro: String { wholeSeconds + "." + Self.pad(nanosecond / 1000, 6) + "Z" }
  /// `2026-11-23T10:00:00.123456789Z`, as in CRI log lines.
  package var rfc3339Nano: String { wholeSeconds + "." + Self.pad(nanosecond, 9) + "Z" }

  /// Reads RFC 3339 with any fraction and any offset.
  package init?(rfc3339 text: String) {
    let bytes = Array(text.utf8)
    func number(_ from: Int, _ count: Int) -> Int64? {
      guard from + count <= bytes.count else { return nil }
      var value: Int64 = 0
      for byte in bytes[from..<from + count] {
        guard byte &- 0x30 < 10 else { return nil }
        value = value * 10 + Int64(byte - 0x30)
      }
      return value
    }
    func has(_ character: Unicode.Scalar, at index: Int) -> Bool {
      index < bytes.count && bytes[index] == UInt8(ascii: character)
    }
    guard let year = number(0, 4), has("-", at: 4), let month = number(5, 2), has("-", at: 7), let day = number(8, 2),
      has("T", at: 10) || has("t", at: 10), let hour = number(11, 2), has(":", at: 13), let minute = number(14, 2),
      has(":", at: 16), let second = number(17, 2), (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60,
      second <= 60
    else { return nil }
    var at = 19
    var nanoseconds: Int64 = 0
    if has(".", at: at) {
      at += 1
      var scale: Int64 = 100_000_000
      let start = at
      while at < bytes.count, bytes[at] &- 0x30 < 10 {
        nanoseconds += Int64(bytes[at] - 0x30) * scale
        scale /= 10
        at += 1
      }
      guard at > start else { return nil }
    }
    var offset: Int64 = 0
    if has("Z", at: at) || has("z", at: at) {
      at += 1
    } else if has("+", at: at) || has("-", at: at), let hours = number(at + 1, 2), has(":", at: at + 3), let minutes = number(at + 4, 2) {
      offset = (hours * 3600 + minutes * 60) * (has("-", at: at) ? -1 : 1)
      at += 6
    } else {
      return nil
    }
    guard at == bytes.count else { return nil }
    let seconds = Self.days(fromYear: year, month: month, day: day) * 86_400 + hour * 3600 + minute * 60 + second - offset
    let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    guard !overflow else { return nil }
    let (sum, isBeyond) = scaled.addingReportingOverflow(nanoseconds)
    guard !isBeyond else { return nil }
    nanosecondsSinceEpoch = sum
  }
}
