/// What an expression may speak of: variables, functions, types.
package struct CELEnvironment: Sendable {
  package private(set) var variables: [String: CELType]
  package private(set) var types: any CELTypeProvider
  /// Names are looked up in this namespace and its parents first (`a.b`); empty in Kubernetes.
  package let container: String
  /// Whether items of a list literal, or values of a map literal, must be of one type, as in Kubernetes.
  package let needsHomogeneousLiterals: Bool
  /// Whether `cel.block` is a macro, which only optimizers write.
  package let allowsBlocks: Bool
  /// Reads a file of the time zone database by its IANA name; nil where there is none. Fixed offsets need none.
  package private(set) var timeZoneFile: @Sendable (String) -> [UInt8]?

  private(set) var functions: [String: [CELOverload]] = [:]
  private(set) var typeNames: [String: CELType] = [:]

  package init(
    variables: [(name: String, type: CELType)] = [], types: any CELTypeProvider = CELNoTypes(),
    libraries: [CELLibrary] = CELLibrary.kubernetes, container: String = "", needsHomogeneousLiterals: Bool = true,
    allowsBlocks: Bool = false, timeZoneFile: @escaping @Sendable (String) -> [UInt8]? = { _ in nil }
  ) {
    self.variables = Dictionary(variables.map { ($0.name, $0.type) }, uniquingKeysWith: { $1 })
    self.types = types
    self.container = container
    self.needsHomogeneousLiterals = needsHomogeneousLiterals
    self.allowsBlocks = allowsBlocks
    self.timeZoneFile = timeZoneFile
    for library in libraries {
      for overload in library.overloads { functions[overload.function, default: []].append(overload) }
      typeNames.merge(library.types) { $1 }
    }
  }

  /// Kubernetes' functions, no variables: to build on with `with`, which costs next to nothing; the tables of functions are made
  /// once.
  package static let kubernetes = CELEnvironment()

  /// The same functions for these variables and types.
  package func with(
    variables: [(name: String, type: CELType)], types: any CELTypeProvider,
    timeZoneFile: @escaping @Sendable (String) -> [UInt8]? = { _ in nil }
  ) -> CELEnvironment {
    var copy = self
    copy.variables = Dictionary(variables.map { ($0.name, $0.type) }, uniquingKeysWith: { $1 })
    copy.types = types
    copy.timeZoneFile = timeZoneFile
    return copy
  }

  /// The same environment with more variables.
  package func adding(variables more: [(name: String, type: CELType)]) -> CELEnvironment {
    var copy = self
    for (name, type) in more { copy.variables[name] = type }
    return copy
  }

  /// Parses, checks and prepares an expression.
  package func compile(_ text: String) throws(CELIssues) -> CELProgram {
    let source = CELSource(text)
    let expression = try CELParser.parse(source, allowsBlocks: allowsBlocks)
    var checker = CELChecker(environment: self)
    let type = checker.check(expression)
    guard checker.issues.isEmpty else { throw CELIssues(checker.issues, source) }
    return CELProgram(environment: self, expression: expression, resultType: type, checked: checker.result, source: source)
  }

  /// Parses and prepares an expression without a look at its types; mistakes show when it is evaluated.
  package func compileUnchecked(_ text: String) throws(CELIssues) -> CELProgram {
    let source = CELSource(text)
    let expression = try CELParser.parse(source, allowsBlocks: allowsBlocks)
    return CELProgram(environment: self, expression: expression, resultType: .dyn, checked: nil, source: source)
  }

  // MARK: Names

  enum Resolution {
    case variable(String, CELType)
    case type(CELType)
  }

  /// The names that `name` may stand for: in the container, then in its parents, then as it is.
  func candidates(_ name: String) -> [String] {
    if name.hasPrefix(".") { return [String(name.dropFirst())] }
    guard !container.isEmpty else { return [name] }
    var result: [String] = []
    var scope = container[...]
    while true {
      result.append("\(scope).\(name)")
      guard let dot = scope.lastIndex(of: ".") else { break }
      scope = scope[..<dot]
    }
    result.append(name)
    return result
  }

  func resolve(_ name: String) -> Resolution? {
    for candidate in candidates(name) {
      if let type = variables[candidate] { return .variable(candidate, type) }
      if let type = typeNames[candidate] { return .type(type) }
      if types.knowsType(candidate) { return .type(.object(candidate)) }
    }
    return nil
  }

  func overloads(_ name: String) -> [CELOverload]? {
    for candidate in candidates(name) {
      if let found = functions[candidate] { return found }
    }
    return nil
  }

  func objectType(_ name: String) -> String? { candidates(name).first(where: types.knowsType) }
}
