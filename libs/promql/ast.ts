// libs/promql/ast.ts: the syntax tree of PromQL. Positions are byte offsets into the query's UTF-8 text.
import type { Matcher } from "../model/index.ts";

export type ValueType = "scalar" | "vector" | "matrix" | "string" | "none";

/** Half-open byte range [start, end) of a node in the query text. */
export interface Position {
  readonly start: number;
  readonly end: number;
}

export type BinaryOp =
  | "+"
  | "-"
  | "*"
  | "/"
  | "%"
  | "^"
  | "atan2"
  | "=="
  | "!="
  | "<"
  | "<="
  | ">"
  | ">="
  | "and"
  | "or"
  | "unless"
  | "</"
  | ">/"; // histogram trims

export type AggregateOp =
  | "sum"
  | "avg"
  | "min"
  | "max"
  | "count"
  | "group"
  | "stddev"
  | "stdvar"
  | "topk"
  | "bottomk"
  | "quantile"
  | "count_values"
  | "limitk"
  | "limit_ratio";

/** `@ 123.4`, `@ start()`, `@ end()`. */
export type AtModifier = { readonly kind: "time"; readonly ms: number } | { readonly kind: "start" | "end" };

/**
 * A duration: known in ms, or an expression (`[5m*2]`, `offset (1m + step())`) that is folded once start, end and
 * step are known. `ms` is NaN until folded. `expr` is kept for printing.
 */
export interface Duration {
  readonly ms: number;
  readonly expr?: Expr;
}

export interface NumberLiteral {
  readonly kind: "number";
  readonly pos: Position;
  readonly value: number;
  /** Written as a duration (`5m`), which prints back as one. */
  readonly duration: boolean;
}
export interface StringLiteral {
  readonly kind: "string";
  readonly pos: Position;
  readonly value: string;
}
export interface VectorSelector {
  readonly kind: "selector";
  readonly pos: Position;
  /** The name written before the braces; "" when it is missing or only a matcher, as one quoted inside them is. */
  readonly name: string;
  /** All matchers, the one on __name__ included. */
  readonly matchers: readonly Matcher[];
  readonly offset?: Duration;
  readonly at?: AtModifier;
  /** Extended range selectors. */
  readonly anchored: boolean;
  readonly smoothed: boolean;
}
export interface MatrixSelector {
  readonly kind: "matrix";
  readonly pos: Position;
  readonly selector: VectorSelector;
  readonly range: Duration;
}
export interface Subquery {
  readonly kind: "subquery";
  readonly pos: Position;
  readonly expr: Expr;
  readonly range: Duration;
  /** Absent: the engine's default step. */
  readonly step?: Duration;
  readonly offset?: Duration;
  readonly at?: AtModifier;
}
export interface Call {
  readonly kind: "call";
  readonly pos: Position;
  readonly func: string;
  readonly args: readonly Expr[];
}
export interface Aggregate {
  readonly kind: "aggregate";
  readonly pos: Position;
  readonly op: AggregateOp;
  readonly expr: Expr;
  readonly param?: Expr;
  readonly without: boolean;
  readonly grouping: readonly string[];
}
export interface VectorMatching {
  readonly card: "one-to-one" | "many-to-one" | "one-to-many" | "many-to-many";
  /** true: `on`, false: `ignoring` (also the default with no labels). */
  readonly on: boolean;
  readonly labels: readonly string[];
  /** Labels of group_left / group_right. */
  readonly include: readonly string[];
  readonly fillLeft?: number;
  readonly fillRight?: number;
}
export interface Binary {
  readonly kind: "binary";
  readonly pos: Position;
  readonly op: BinaryOp;
  readonly left: Expr;
  readonly right: Expr;
  readonly bool: boolean;
  /** Present when both sides are vectors. */
  readonly matching?: VectorMatching;
}
export interface Unary {
  readonly kind: "unary";
  readonly pos: Position;
  readonly op: "+" | "-";
  readonly expr: Expr;
}
export interface Paren {
  readonly kind: "paren";
  readonly pos: Position;
  readonly expr: Expr;
}

export type Expr =
  | NumberLiteral
  | StringLiteral
  | VectorSelector
  | MatrixSelector
  | Subquery
  | Call
  | Aggregate
  | Binary
  | Unary
  | Paren;
