/// What type parameters stand for, found as types are held against each other (the rules are cel-go's).
struct CELSubstitution {
  private var mapping: [String: CELType] = [:]
  private var lastFresh = 0

  /// A parameter that nothing else uses.
  mutating func fresh() -> CELType {
    lastFresh += 1
    return .parameter("_var\(lastFresh)")
  }

  /// The declared types with fresh parameters in place of their own.
  mutating func instantiate(_ types: [CELType]) -> [CELType] {
    var renamed: [String: CELType] = [:]
    func rename(_ type: CELType, _ this: inout CELSubstitution) -> CELType {
      switch type {
      case .parameter(let name):
        if let known = renamed[name] { return known }
        let new = this.fresh()
        renamed[name] = new
        return new
      case .list(let element): return .list(rename(element, &this))
      case .map(let key, let value): return .map(rename(key, &this), rename(value, &this))
      case .type(let inner?): return .type(rename(inner, &this))
      case .opaque(let name, let parameters): return .opaque(name, parameters.map { rename($0, &this) })
      default: return type
      }
    }
    return types.map { rename($0, &self) }
  }

  /// The type with parameters replaced; those still free become `dyn` where asked for.
  func apply(_ type: CELType, freeAsDyn: Bool = false) -> CELType {
    switch type {
    case .parameter(let name):
      if let known = mapping[name] { return apply(known, freeAsDyn: freeAsDyn) }
      return freeAsDyn ? .dyn : type
    case .list(let element): return .list(apply(element, freeAsDyn: freeAsDyn))
    case .map(let key, let value): return .map(apply(key, freeAsDyn: freeAsDyn), apply(value, freeAsDyn: freeAsDyn))
    case .type(let inner?): return .type(apply(inner, freeAsDyn: freeAsDyn))
    case .opaque(let name, let parameters): return .opaque(name, parameters.map { apply($0, freeAsDyn: freeAsDyn) })
    default: return type
    }
  }

  /// Whether values of `type` may stand where `target` is wanted; remembers what parameters then stand for.
  mutating func assign(_ type: CELType, to target: CELType) -> Bool {
    var attempt = self
    guard attempt.unify(type, target) else { return false }
    self = attempt
    return true
  }

  mutating func assign(_ types: [CELType], to targets: [CELType]) -> Bool {
    guard types.count == targets.count else { return false }
    var attempt = self
    for (type, target) in zip(types, targets) {
      guard attempt.unify(type, target) else { return false }
    }
    self = attempt
    return true
  }

  private mutating func unify(_ a: CELType, _ b: CELType) -> Bool {
    if case .parameter = b {
      let (isValid, isKnown) = substitute(a, for: b)
      if isValid { return true }
      if isKnown { return false }
    }
    if case .parameter = a { return substitute(b, for: a).isValid }
    if a.isDynOrError || b.isDynOrError { return true }
    if a == .null { return Self.isNullable(b) }
    if b == .null { return Self.isNullable(a) }
    switch (a, b) {
    case (.type, .type): return true
    case (.list(let x), .list(let y)): return unify(x, y)
    case (.map(let xKey, let xValue), .map(let yKey, let yValue)): return unify(xKey, yKey) && unify(xValue, yValue)
    case (.opaque(let x, let xParameters), .opaque(let y, let yParameters)):
      guard x == y, xParameters.count == yParameters.count else { return false }
      for (p, q) in zip(xParameters, yParameters) { guard unify(p, q) else { return false } }
      return true
    case (.wrapper(let x), .wrapper(let y)): return x == y
    case (.wrapper(let x), let y), (let y, .wrapper(let x)): return x == y
    default: return a == b
    }
  }

  private static func isNullable(_ type: CELType) -> Bool {
    switch type {
    case .null, .object, .opaque, .timestamp, .duration, .wrapper: true
    default: false
    }
  }

  private mutating func substitute(_ type: CELType, for parameter: CELType) -> (isValid: Bool, isKnown: Bool) {
    if type == parameter { return (true, true) }
    guard case .parameter(let name) = parameter else { return (false, false) }
    if let known = mapping[name] {
      if known == type { return (true, true) }
      guard unify(type, known) else { return (false, true) }
      let general = Self.moreGeneral(type, known)
      if !occurs(name, in: general) { mapping[name] = general }
      return (true, true)
    }
    guard !occurs(name, in: type) else { return (false, false) }
    mapping[name] = type
    return (true, false)
  }

  private func occurs(_ name: String, in type: CELType) -> Bool {
    switch type {
    case .parameter(let other): other == name || mapping[other].map { occurs(name, in: $0) } ?? false
    case .list(let element): occurs(name, in: element)
    case .map(let key, let value): occurs(name, in: key) || occurs(name, in: value)
    case .type(let inner?): occurs(name, in: inner)
    case .opaque(_, let parameters): parameters.contains { occurs(name, in: $0) }
    default: false
    }
  }

  /// The one of two agreeing types that takes more.
  static func moreGeneral(_ a: CELType, _ b: CELType) -> CELType { isEqualOrLessSpecific(a, b) ? a : b }

  private static func isEqualOrLessSpecific(_ a: CELType, _ b: CELType) -> Bool {
    if a.isDynOrError { return true }
    if case .parameter = a { return true }
    if b.isDynOrError { return false }
    if case .parameter = b { return false }
    if a == .null { return false }
    if b == .null { return true }
    switch (a, b) {
    case (.list(let x), .list(let y)): return isEqualOrLessSpecific(x, y)
    case (.map(let xKey, let xValue), .map(let yKey, let yValue)):
      return isEqualOrLessSpecific(xKey, yKey) && isEqualOrLessSpecific(xValue, yValue)
    case (.opaque(let x, let xParameters), .opaque(let y, let yParameters)):
      return x == y && zip(xParameters, yParameters).allSatisfy { isEqualOrLessSpecific($0, $1) }
    case (.wrapper, _): return true
    case (_, .wrapper): return false
    default: return a == b
    }
  }
}
