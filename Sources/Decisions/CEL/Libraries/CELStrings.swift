// Strings: cel-go's extension, as Kubernetes has it.

extension CELLibrary {
  package static let strings: CELLibrary = {
    var library = CELLibrary("strings")
    library.addPositions()
    library.addParts()
    library.addForms()
    return library
  }()

  private mutating func addPositions() {
    let length = CELCallCost.traversal(of: 0, times: 1)
    member("charAt", "string_char_at_int", [.string, .int], .string, cost: length) { a, _ throws(CELError) in
      let scalars = Array(try a.string(0).unicodeScalars)
      let index = try a.int(1)
      guard index >= 0, index <= scalars.count else { throw CELError("index out of range: \(index)") }
      return .string(index == scalars.count ? "" : String(Character(scalars[Int(index)])))
    }
    let indexOf: CELOverload.Body = { a, _ throws(CELError) in
      let whole = Array(try a.string(0).unicodeScalars)
      let part = Array(try a.string(1).unicodeScalars)
      let start = a.count > 2 ? try a.int(2) : 0
      guard start >= 0, a.count < 3 || start <= whole.count else { throw CELError("index out of range: \(start)") }
      return .int(Int64(CELText.find(part, in: whole, from: Int(start)) ?? -1))
    }
    member("indexOf", "string_index_of_string", [.string, .string], .int, cost: length, indexOf)
    member("indexOf", "string_index_of_string_int", [.string, .string, .int], .int, cost: length, indexOf)
    let lastIndexOf: CELOverload.Body = { a, _ throws(CELError) in
      let whole = Array(try a.string(0).unicodeScalars)
      let part = Array(try a.string(1).unicodeScalars)
      let end = a.count > 2 ? try a.int(2) : Int64(whole.count)
      guard end >= 0, end <= whole.count else { throw CELError("index out of range: \(end)") }
      if part.isEmpty { return .int(end) }
      // Backwards, the last place is the first one.
      let last = min(whole.count, Int(end) + part.count)
      guard last >= part.count else { return .int(-1) }
      let found = CELText.find(Array(part.reversed()), in: Array(whole[..<last].reversed()), from: 0)
      return .int(found.map { Int64(last - $0 - part.count) } ?? -1)
    }
    member("lastIndexOf", "string_last_index_of_string", [.string, .string], .int, cost: length, lastIndexOf)
    member("lastIndexOf", "string_last_index_of_string_int", [.string, .string, .int], .int, cost: length, lastIndexOf)
    let substring: CELOverload.Body = { a, _ throws(CELError) in
      let scalars = Array(try a.string(0).unicodeScalars)
      let start = try a.int(1)
      let end = a.count > 2 ? try a.int(2) : Int64(scalars.count)
      guard start >= 0, start <= scalars.count else { throw CELError("index out of range: \(start)") }
      guard end >= 0, end <= scalars.count else { throw CELError("index out of range: \(end)") }
      guard start <= end else { throw CELError("invalid substring range. start: \(start), end: \(end)") }
      return .string(CELText.string(scalars[Int(start)..<Int(end)]))
    }
    member("substring", "string_substring_int", [.string, .int], .string, cost: length, substring)
    member("substring", "string_substring_int_int", [.string, .int, .int], .string, cost: length, substring)
  }

  private mutating func addParts() {
    let length = CELCallCost.traversal(of: 0, times: 1)
    let join: CELOverload.Body = { a, context throws(CELError) in
      let list = try a.list(0)
      let separator = a.count > 1 ? try a.string(1) : ""
      var result = ""
      var charged = 0
      for i in 0..<list.count {
        guard case .string(let text) = list[i] else { throw .noSuchOverload }
        if i > 0 { result += separator }
        result += text
        if result.utf8.count - charged > 1000 {  // a list may be far longer than its price tells
          try context.charge(UInt64(result.utf8.count - charged) / 100)
          charged = result.utf8.count
        }
      }
      return .string(result)
    }
    member("join", "list_join", [.list(.string)], .string, cost: .result(times: 2), join)
    member("join", "list_join_string", [.list(.string), .string], .string, cost: .result(times: 2), join)
    let split: CELOverload.Body = { a, _ throws(CELError) in
      let limit = a.count > 2 ? Int(clamping: try a.int(2)) : -1
      return .strings(CELText.split(try a.string(0), by: try a.string(1), max: limit))
    }
    member("split", "string_split_string", [.string, .string], .list(.string), cost: length, split)
    member("split", "string_split_string_int", [.string, .string, .int], .list(.string), cost: length, split)
    let replace: CELOverload.Body = { a, context throws(CELError) in
      let limit = a.count > 3 ? Int(clamping: try a.int(3)) : -1
      let (text, old, new) = (try a.string(0), try a.string(1), try a.string(2))
      // The result can be as large as text times replacement: its price is charged before it is made.
      let places = text.utf8.count / max(1, old.utf8.count) + 1
      let bound = places.multipliedReportingOverflow(by: max(0, new.utf8.count - old.utf8.count))
      if bound.overflow || bound.partialValue > 10_000_000 { throw .costLimit }
      if bound.partialValue > 10_000 { try context.charge(UInt64(bound.partialValue / 100)) }
      return .string(CELText.replace(text, old, with: new, max: limit))
    }
    member("replace", "string_replace_string_string", [.string, .string, .string], .string, cost: length, replace)
    member("replace", "string_replace_string_string_int", [.string, .string, .string, .int], .string, cost: length, replace)
  }

  private mutating func addForms() {
    let length = CELCallCost.traversal(of: 0, times: 1)
    member("lowerAscii", "string_lower_ascii", [.string], .string, cost: length) { a, _ throws(CELError) in
      .string(String(decoding: try a.string(0).utf8.map { (0x41...0x5A).contains($0) ? $0 + 32 : $0 }, as: UTF8.self))
    }
    member("upperAscii", "string_upper_ascii", [.string], .string, cost: length) { a, _ throws(CELError) in
      .string(String(decoding: try a.string(0).utf8.map { (0x61...0x7A).contains($0) ? $0 - 32 : $0 }, as: UTF8.self))
    }
    member("trim", "string_trim", [.string], .string, cost: length) { a, _ throws(CELError) in .string(CELText.trim(try a.string(0))) }
    member("reverse", "string_reverse", [.string], .string, cost: length) { a, _ throws(CELError) in
      .string(CELText.string(try a.string(0).unicodeScalars.reversed()))
    }
    function("strings.quote", "strings_quote", [.string], .string, cost: length) { a, _ throws(CELError) in
      .string(CELFormat.quote(try a.string(0)))
    }
    member("format", "string_format", [.string, .list(.dyn)], .string, cost: length) { a, context throws(CELError) in
      .string(try CELStringFormat.format(try a.string(0), try a.list(1), context))
    }
  }
}
