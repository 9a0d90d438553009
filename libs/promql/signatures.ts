// libs/promql/signatures.ts: the functions of PromQL 3.14: arguments, result, and whether stock servers know them.
// Reference: Prometheus 3.14, documentation of querying functions.
import type { AggregateOp, ValueType } from "./ast.ts";

export interface Signature {
  readonly name: string;
  /** Types of the arguments; the last one also stands for all further ones of a variadic function. */
  readonly args: readonly ValueType[];
  /** 0: exactly `args`. n > 0: the last argument may be missing or occur up to n times. -1: any number of times. */
  readonly variadic: number;
  readonly returns: ValueType;
  /** Known to a stock server only with `--enable-feature=promql-experimental-functions`. */
  readonly experimental: boolean;
}

const TYPE_CODES: Readonly<Record<string, ValueType>> = { v: "vector", m: "matrix", s: "scalar", t: "string" };
const table = new Map<string, Signature>();

/** `args` has one letter per argument: v instant vector, m range vector, s scalar, t string. */
function define(
  names: string,
  args: string,
  rest: { returns?: ValueType; variadic?: number; experimental?: true } = {},
) {
  for (const name of names.split(" ")) {
    table.set(name, {
      name,
      args: [...args].map((code) => TYPE_CODES[code]!),
      variadic: rest.variadic ?? 0,
      returns: rest.returns ?? "vector",
      experimental: rest.experimental ?? false,
    });
  }
}

define("abs absent ceil deg exp floor ln log10 log2 rad sgn sqrt sort sort_desc timestamp", "v");
define("acos acosh asin asinh atan atanh cos cosh sin sinh tan tanh", "v");
define("histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar", "v");
define("start_timestamp", "v", { experimental: true });
define("day_of_month day_of_week day_of_year days_in_month hour minute month year", "v", { variadic: 1 });
define("absent_over_time avg_over_time count_over_time first_over_time last_over_time max_over_time", "m");
define("min_over_time present_over_time stddev_over_time stdvar_over_time sum_over_time", "m");
define("changes delta deriv idelta increase irate rate resets", "m");
define("mad_over_time ts_of_first_over_time ts_of_last_over_time", "m", { experimental: true });
define("ts_of_max_over_time ts_of_min_over_time", "m", { experimental: true });
define("predict_linear", "ms");
define("double_exponential_smoothing", "mss", { experimental: true });
define("quantile_over_time", "sm");
define("clamp", "vss");
define("clamp_max clamp_min", "vs");
define("round", "vs", { variadic: 1 });
define("histogram_quantile", "sv");
define("histogram_fraction", "ssv");
define("histogram_quantiles", "vtss", { variadic: 9, experimental: true });
define("info", "vv", { variadic: 1, experimental: true });
define("label_replace", "vtttt");
define("label_join", "vttt", { variadic: -1 });
define("sort_by_label sort_by_label_desc", "vt", { variadic: -1, experimental: true });
define("vector", "s");
define("scalar", "v", { returns: "scalar" });
define("pi time", "", { returns: "scalar" });
define("start end range step", "", { returns: "scalar", experimental: true });
define("max_of min_of", "ss", { returns: "scalar", experimental: true });

/** Every function by name. */
export const SIGNATURES: ReadonlyMap<string, Signature> = table;

/** The parameter's type of the aggregations that take one. */
export const AGGREGATE_PARAMETERS: ReadonlyMap<AggregateOp, ValueType> = new Map<AggregateOp, ValueType>([
  ["topk", "scalar"],
  ["bottomk", "scalar"],
  ["quantile", "scalar"],
  ["limitk", "scalar"],
  ["limit_ratio", "scalar"],
  ["count_values", "string"],
]);

export const EXPERIMENTAL_AGGREGATES: ReadonlySet<AggregateOp> = new Set<AggregateOp>(["limitk", "limit_ratio"]);
