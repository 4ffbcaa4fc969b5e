extension CELLibrary {
  mutating func addConversions() {
    addNumberConversions()
    function("bool", "bool_to_bool", [.bool], .bool) { a, _ throws(CELError) in a[0] }
    function("bool", "string_to_bool", [.string], .bool, cost: .fixed(1)) { a, _ throws(CELError) in
      switch try a.string(0) {
      case "1", "t", "T", "true", "TRUE", "True": .bool(true)
      case "0", "f", "F", "false", "FALSE", "False": .bool(false)
      default: throw CELError("Type conversion error from 'string' to 'bool'")
      }
    }
    function("bytes", "bytes_to_bytes", [.bytes], .bytes) { a, _ throws(CELError) in a[0] }
    function("bytes", "string_to_bytes", [.string], .bytes, cost: .traversal(of: 0, times: 1)) { a, _ throws(CELError) in
      .bytes(Array(try a.string(0).utf8))
    }
    function("string", "bytes_to_string", [.bytes], .string, cost: .traversal(of: 0, times: 1)) { a, _ throws(CELError) in
      guard let text = String(validating: try a.bytes(0), as: UTF8.self) else {
        throw CELError("invalid UTF-8 in bytes, cannot convert to string")
      }
      return .string(text)
    }
    for type in [CELType.bool, .int, .uint, .double, .string, .timestamp, .duration] {
      function("string", "\(type)_to_string", [type], .string) { a, _ throws(CELError) in .string(CELFormat.plain(a[0])) }
    }
    function("timestamp", "timestamp_to_timestamp", [.timestamp], .timestamp) { a, _ throws(CELError) in a[0] }
    function("timestamp", "string_to_timestamp", [.string], .timestamp) { a, _ throws(CELError) in
      let text = try a.string(0)
      guard let value = CELTimestamp(rfc3339: text) else {
        throw CELError(
          "Type conversion error from 'string' to 'google.protobuf.Timestamp': \(CELFormat.quote(text)) is out of range or malformed")
      }
      return .timestamp(value)
    }
    function("timestamp", "int64_to_timestamp", [.int], .timestamp) { a, _ throws(CELError) in
      guard let value = CELTimestamp(seconds: try a.int(0)) else { throw CELError("timestamp out of range") }
      return .timestamp(value)
    }
    function("duration", "duration_to_duration", [.duration], .duration) { a, _ throws(CELError) in a[0] }
    function("duration", "string_to_duration", [.string], .duration) { a, _ throws(CELError) in
      let text = try a.string(0)
      guard let value = CELDuration(text) else {
        throw CELError(
          "Type conversion error from 'string' to 'google.protobuf.Duration': \(CELFormat.quote(text)) is out of range or malformed")
      }
      return .duration(value)
    }
    function("duration", "int64_to_duration", [.int], .duration) { a, _ throws(CELError) in
      .duration(CELDuration(nanoseconds: try a.int(0)))
    }
  }

  private mutating func addNumberConversions() {
    function("int", "int64_to_int64", [.int], .int) { a, _ throws(CELError) in a[0] }
    function("int", "uint64_to_int64", [.uint], .int) { a, _ throws(CELError) in
      guard let value = Int64(exactly: try a.uint(0)) else { throw .integerOverflow }
      return .int(value)
    }
    function("int", "double_to_int64", [.double], .int) { a, _ throws(CELError) in
      let value = try a.double(0)
      guard value > -0x1p63, value < 0x1p63 else { throw .integerOverflow }
      return .int(Int64(value))
    }
    function("int", "string_to_int64", [.string], .int) { a, _ throws(CELError) in
      guard let value = Int64(try a.string(0)) else { throw CELError("Type conversion error from 'string' to 'int'") }
      return .int(value)
    }
    function("int", "timestamp_to_int64", [.timestamp], .int) { a, _ throws(CELError) in .int(try a.timestamp(0).seconds) }
    function("int", "duration_to_int64", [.duration], .int) { a, _ throws(CELError) in .int(try a.duration(0).nanoseconds) }
    function("uint", "uint64_to_uint64", [.uint], .uint) { a, _ throws(CELError) in a[0] }
    function("uint", "int64_to_uint64", [.int], .uint) { a, _ throws(CELError) in
      guard let value = UInt64(exactly: try a.int(0)) else { throw .unsignedOverflow }
      return .uint(value)
    }
    function("uint", "double_to_uint64", [.double], .uint) { a, _ throws(CELError) in
      let value = try a.double(0)
      guard value >= 0, value < 0x1p64 else { throw .unsignedOverflow }
      return .uint(UInt64(value))
    }
    function("uint", "string_to_uint64", [.string], .uint) { a, _ throws(CELError) in
      guard let value = UInt64(try a.string(0)) else { throw CELError("Type conversion error from 'string' to 'uint'") }
      return .uint(value)
    }
    function("double", "double_to_double", [.double], .double) { a, _ throws(CELError) in a[0] }
    function("double", "int64_to_double", [.int], .double) { a, _ throws(CELError) in .double(Double(try a.int(0))) }
    function("double", "uint64_to_double", [.uint], .double) { a, _ throws(CELError) in .double(Double(try a.uint(0))) }
    function("double", "string_to_double", [.string], .double) { a, _ throws(CELError) in
      guard let value = Double(try a.string(0)) else { throw CELError("Type conversion error from 'string' to 'double'") }
      return .double(value)
    }
  }

  // MARK: Time

  mutating func addTime() {
    function(CELOperator.add, "add_timestamp_duration", [.timestamp, .duration], .timestamp) { a, _ throws(CELError) in
      guard let sum = try a.timestamp(0).adding(try a.duration(1)) else { throw CELError("timestamp overflow") }
      return .timestamp(sum)
    }
    function(CELOperator.add, "add_duration_timestamp", [.duration, .timestamp], .timestamp) { a, _ throws(CELError) in
      guard let sum = try a.timestamp(1).adding(try a.duration(0)) else { throw CELError("timestamp overflow") }
      return .timestamp(sum)
    }
    function(CELOperator.add, "add_duration_duration", [.duration, .duration], .duration) { a, _ throws(CELError) in
      let (sum, overflow) = try a.duration(0).nanoseconds.addingReportingOverflow(try a.duration(1).nanoseconds)
      if overflow { throw CELError("duration overflow") }
      return .duration(CELDuration(nanoseconds: sum))
    }
    function(CELOperator.subtract, "subtract_timestamp_timestamp", [.timestamp, .timestamp], .duration) { a, _ throws(CELError) in
      guard let distance = try a.timestamp(0).distance(from: try a.timestamp(1)) else { throw CELError("duration overflow") }
      return .duration(distance)
    }
    function(CELOperator.subtract, "subtract_timestamp_duration", [.timestamp, .duration], .timestamp) { a, _ throws(CELError) in
      let (negative, overflow) = Int64(0).subtractingReportingOverflow(try a.duration(1).nanoseconds)
      guard !overflow, let sum = try a.timestamp(0).adding(CELDuration(nanoseconds: negative)) else {
        throw CELError("timestamp overflow")
      }
      return .timestamp(sum)
    }
    function(CELOperator.subtract, "subtract_duration_duration", [.duration, .duration], .duration) { a, _ throws(CELError) in
      let (difference, overflow) = try a.duration(0).nanoseconds.subtractingReportingOverflow(try a.duration(1).nanoseconds)
      if overflow { throw CELError("duration overflow") }
      return .duration(CELDuration(nanoseconds: difference))
    }
    addTimestampParts()
    let parts: [(String, Int64)] = [
      ("getHours", 3_600_000_000_000), ("getMinutes", 60_000_000_000), ("getSeconds", 1_000_000_000),
    ]
    for (name, unit) in parts {
      member(name, "duration_to_\(name)", [.duration], .int) { a, _ throws(CELError) in .int(try a.duration(0).nanoseconds / unit) }
    }
    member("getMilliseconds", "duration_to_milliseconds", [.duration], .int) { a, _ throws(CELError) in
      .int(try a.duration(0).nanoseconds / 1_000_000 % 1000)
    }
  }

  private mutating func addTimestampParts() {
    let parts: [(String, @Sendable (CivilTime, CELTimestamp) -> Int)] = [
      ("getFullYear", { time, _ in time.date.year }),
      ("getMonth", { time, _ in time.date.month - 1 }),
      ("getDate", { time, _ in time.date.day }),
      ("getDayOfMonth", { time, _ in time.date.day - 1 }),
      ("getDayOfWeek", { time, _ in time.dayOfWeek }),
      ("getDayOfYear", { time, _ in time.date.dayOfYear }),
      ("getHours", { time, _ in time.hour }),
      ("getMinutes", { time, _ in time.minute }),
      ("getSeconds", { time, _ in time.second }),
      ("getMilliseconds", { _, moment in Int(moment.nanoseconds) / 1_000_000 }),
    ]
    for (name, part) in parts {
      member(name, "timestamp_to_\(name)", [.timestamp], .int) { a, _ throws(CELError) in
        let moment = try a.timestamp(0)
        return .int(Int64(part(CivilTime(seconds: moment.seconds), moment)))
      }
      member(name, "timestamp_to_\(name)_with_tz", [.timestamp, .string], .int) { a, context throws(CELError) in
        let moment = try a.timestamp(0)
        let zone = try context.timeZone(try a.string(1))
        return .int(Int64(part(CivilTime(seconds: moment.seconds + Int64(zone.offset(at: moment.seconds))), moment)))
      }
    }
  }
}
