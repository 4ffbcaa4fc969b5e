import ArgumentParser

/// A time as options have it: `90s`, `30m`, `24h`, `7d`, `1h30m`, or a plain number of seconds.
struct TimeSpan: ExpressibleByArgument, Equatable, CustomStringConvertible {
  private static let units: [Character: Int] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
  /// A hundred years.
  static let secondsMax = 100 * 365 * 86_400

  let seconds: Int

  init(seconds: Int) { self.seconds = seconds }

  init?(argument: String) {
    if let plain = Int(argument), (0...Self.secondsMax).contains(plain) {
      seconds = plain
      return
    }
    var (total, number) = (0, "")
    for character in argument {
      if character.isASCII, character.isNumber {
        number.append(character)
      } else {
        guard let unit = Self.units[character], let count = Int(number), count <= Self.secondsMax / unit else { return nil }
        total += count * unit
        number = ""
      }
    }
    guard number.isEmpty, !argument.isEmpty, total <= Self.secondsMax else { return nil }
    seconds = total
  }

  /// The two largest units that count, such as `23h59m`.
  var text: String {
    var (rest, parts) = (seconds, [String]())
    for unit in ["d", "h", "m", "s"] as [Character] {
      let size = Self.units[unit] ?? 1
      if rest >= size, parts.count < 2 { parts.append("\(rest / size)\(unit)") }
      rest %= size
    }
    return parts.isEmpty ? "0s" : parts.joined()
  }

  var description: String { text }
  var defaultValueDescription: String { text }
}
