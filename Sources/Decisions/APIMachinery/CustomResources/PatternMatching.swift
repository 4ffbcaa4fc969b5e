/// A compiled regular expression that is searched for anywhere in a text. Matching must take time linear in the text.
package protocol PatternMatcher: Sendable {
  func matches(_ text: String) -> Bool
}

/// Why a pattern cannot be compiled, in the words of Go's regexp package.
package struct PatternError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// Compiles a pattern in RE2's syntax. Schemas come from strangers: whatever is plugged in here must not backtrack.
package typealias PatternCompiler = @Sendable (_ pattern: String) throws(PatternError) -> any PatternMatcher

/// A schema's pattern: its text, and its matcher or the reason why there is none.
package struct SchemaPattern: Sendable {
  package let text: String
  let matcher: (any PatternMatcher)?
  let problem: String?

  init(_ text: String, _ compile: PatternCompiler) {
    self.text = text
    do throws(PatternError) {
      matcher = try compile(text)
      problem = nil
    } catch {
      matcher = nil
      problem = error.description
    }
  }
}
