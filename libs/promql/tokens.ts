// libs/promql/tokens.ts: the tokens of PromQL, their classes, and how messages name them.
import { quoteShortened, quoteString } from "./quote.ts";

export const AGGREGATORS = [
  "sum",
  "avg",
  "count",
  "min",
  "max",
  "group",
  "stddev",
  "stdvar",
  "topk",
  "bottomk",
  "count_values",
  "quantile",
  "limitk",
  "limit_ratio",
] as const;
const OPERATOR_WORDS = ["and", "or", "unless", "atan2"] as const;
const MODIFIERS = [
  "offset",
  "smoothed",
  "anchored",
  "by",
  "without",
  "on",
  "ignoring",
  "group_left",
  "group_right",
  "fill",
  "fill_left",
  "fill_right",
  "bool",
] as const;
/** Words that mean something inside durations or after `@`, and are function names elsewhere. */
export const TIME_WORDS = ["start", "end", "step", "range", "max_of", "min_of"] as const;
const OPERATOR_SIGNS = [
  "+",
  "-",
  "*",
  "/",
  "%",
  "^",
  "==",
  "!=",
  "<",
  "<=",
  ">",
  ">=",
  "</",
  ">/",
  "=~",
  "!~",
  "@",
] as const;

export type Keyword =
  | (typeof AGGREGATORS)[number]
  | (typeof OPERATOR_WORDS)[number]
  | (typeof MODIFIERS)[number]
  | (typeof TIME_WORDS)[number];

export type TokenType =
  | "end of input"
  | "identifier"
  | "metric identifier"
  | "string"
  | "number"
  | "duration"
  | "("
  | ")"
  | "{"
  | "}"
  | "["
  | "]"
  | ","
  | "="
  | ":"
  | (typeof OPERATOR_SIGNS)[number]
  | Keyword;

/** `start` and `end` are UTF-16 offsets into the query text. */
export interface Token {
  readonly type: TokenType;
  readonly start: number;
  readonly end: number;
}

/** Keywords by their lower-case text; PromQL's keywords ignore case. Inf and NaN are numbers. */
export const KEYWORDS: ReadonlyMap<string, TokenType> = new Map<string, TokenType>([
  ...[...AGGREGATORS, ...OPERATOR_WORDS, ...MODIFIERS, ...TIME_WORDS].map((w): [string, TokenType] => [w, w]),
  ["inf", "number"],
  ["nan", "number"],
]);

export const AGGREGATOR_TYPES: ReadonlySet<TokenType> = new Set(AGGREGATORS);
const MODIFIER_TYPES: ReadonlySet<TokenType> = new Set(MODIFIERS);
const OPERATOR_TYPES: ReadonlySet<TokenType> = new Set([...OPERATOR_SIGNS, ...OPERATOR_WORDS]);
const VALUE_TYPES: ReadonlySet<TokenType> = new Set<TokenType>([
  "identifier",
  "metric identifier",
  "string",
  "number",
  "duration",
]);

/** Tokens that can be a metric name at the start of a selector. */
export const METRIC_NAME_TYPES: ReadonlySet<TokenType> = new Set<TokenType>([
  "identifier",
  "metric identifier",
  ...AGGREGATORS,
  "and",
  "or",
  "unless",
  "by",
  "without",
  "fill",
  "fill_left",
  "fill_right",
  "offset",
  "anchored",
  "smoothed",
  ...TIME_WORDS,
]);

/** Tokens that can be a label name inside `by (…)`, `on (…)` and their like: all words, but for `without`. */
export const LABEL_NAME_TYPES: ReadonlySet<TokenType> = new Set<TokenType>([
  "identifier",
  "metric identifier",
  ...AGGREGATORS,
  ...OPERATOR_WORDS,
  ...MODIFIERS.filter((word) => word !== "without"),
  ...TIME_WORDS,
]);

/** Tokens an expression can begin with. */
export const EXPRESSION_START_TYPES: ReadonlySet<TokenType> = new Set<TokenType>([
  ...METRIC_NAME_TYPES,
  "number",
  "duration",
  "string",
  "(",
  "{",
  "+",
  "-",
]);

/** The token as messages name it: `<op:+>`, `<by>`, `<aggr:sum>`, `identifier "x"`, `end of input`, `","`. */
export function describeToken(token: Token, text: string): string {
  const { type } = token;
  if (type === "end of input") return type;
  const written = text.slice(token.start, token.end);
  if (type === "identifier" || type === "metric identifier") return `${type} ${quoteString(written)}`;
  if (MODIFIER_TYPES.has(type)) return `<${written}>`;
  if (OPERATOR_TYPES.has(type)) return `<op:${written}>`;
  if (AGGREGATOR_TYPES.has(type)) return `<aggr:${written}>`;
  const quoted = Buffer.byteLength(written) > 10 ? quoteShortened(written) : quoteString(written);
  return VALUE_TYPES.has(type) ? `${type} ${quoted}` : quoted;
}
