// libs/promql/options.ts: which parts of the language are accepted, and the bounds of a query text.

/** The parts of the language that Prometheus keeps, or kept, behind feature flags. */
export interface ParserOptions {
  /** Functions and aggregations marked experimental in the signatures. */
  readonly experimentalFunctions: boolean;
  /** Arithmetic, step(), range(), min_of() and max_of() where a duration is expected. */
  readonly durationExpressions: boolean;
  /** `anchored` and `smoothed`. */
  readonly extendedSelectors: boolean;
  /** `fill`, `fill_left`, `fill_right`. */
  readonly fillModifiers: boolean;
}

/** What a Prometheus 3.14 started without feature flags accepts. */
export const STOCK_OPTIONS: ParserOptions = {
  experimentalFunctions: false,
  durationExpressions: true,
  extendedSelectors: false,
  fillModifiers: false,
};

/** The whole language: the default of parseExpr. */
export const ALL_OPTIONS: ParserOptions = {
  experimentalFunctions: true,
  durationExpressions: true,
  extendedSelectors: true,
  fillModifiers: true,
};

/**
 * How deep expressions may nest: parentheses, arguments, unary signs and right operands each count one level. Chains of
 * operators of the same precedence (`1+1+1…`) do not nest, whatever their length.
 */
export const NESTING_MAX = 256;

/** Longest query text, in bytes of UTF-8. */
export const QUERY_LENGTH_MAX = 1 << 20;

/** Most characters of regular expressions in one query, each expression counted once: compiling them takes time. */
export const QUERY_REGEX_LENGTH_MAX = 1 << 16;
