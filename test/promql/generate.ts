// test/promql/generate.ts: random PromQL queries over the series of peer-series.ts, from a grammar with types.
// Left out is what Prometheus leaves open: which of equal values topk keeps, the order that limitk goes by.
import type { Chance } from "./chance.ts";

/** Which language to write. */
export interface Dialect {
  /**
   * Functions, modifiers and sample types of Prometheus 3; else what 2.42 evaluates as 3 does. That is without
   * subqueries (their points lie on the edges of windows, which were closed), predict_linear with @, atan2 (kept names),
   * histogram_quantile of rates (rounding errors between buckets counted), stddev (infinite values), comparisons between
   * vectors (pairs that do not hold were no matches), rates of series with gaps (extrapolated to zero otherwise), two matchers of
   * one label in absent(), parameters that change beside an @ (evaluated once), and sinh and cosh (infinite too early).
   */
  readonly modern: boolean;
  /** Whether counters with start times are there. */
  readonly starts: boolean;
}

const SCALARS = ["0", "1", "2", "-1", "0.5", "3.25", "1e3", "NaN", "Inf"];
const SCALAR_CALLS = ["time()", "pi()", "step()", "range()", "start()", "end()", "min_of(2, 0.5)", "max_of(-1, 3)"];
const LABELS = ["job", "instance", "zone", "le", "kind"];
const FLOATS = ["requests_total", "temperature", "sparse", "flat", "latency_bucket", "latency_sum", "latency_count"];
/** Series without gaps. */
const WHOLE = FLOATS.filter((name) => name !== "sparse");
const NATIVES = ["native", "native_gauge", "custom", "assorted"];
const DURATIONS = ["1m", "90s", "2m", "5m", "7m30s", "15s", "1s"];
const OFFSETS = ["1m", "-1m", "30s", "5m", "-2m30s"];
const COMPARISONS = ["==", "!=", "<", "<=", ">", ">="];
const ARITHMETIC = ["+", "-", "*", "/", "%", "^"];
const MATH = ["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn"];
const TRIGONOMETRY = [
  "sin",
  "cos",
  "tan",
  "asin",
  "acos",
  "atan",
  "sinh",
  "cosh",
  "tanh",
  "asinh",
  "acosh",
  "atanh",
  "deg",
  "rad",
];
const DATES = ["minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year"];
const UNARY = [...MATH, ...TRIGONOMETRY, ...DATES];
const OLDER_UNARY = UNARY.filter((name) => name !== "sinh" && name !== "cosh");
const OVER_TIME = ["avg", "min", "max", "sum", "count", "last", "present", "stddev", "stdvar"];
const RATES = ["rate", "increase", "delta", "irate", "idelta", "changes", "resets", "deriv"];
const MODERN_RANGES = ["mad_over_time", "first_over_time", "ts_of_first_over_time", "ts_of_last_over_time"];
const EXTREME_TIMES = ["ts_of_min_over_time", "ts_of_max_over_time"];
const AGGREGATIONS = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
const NATIVE_FUNCTIONS = ["histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"];

/** Writes queries. Depth bounds their size. */
export class QueryWriter {
  readonly #chance: Chance;
  readonly #modern: boolean;
  readonly #starts: boolean;
  readonly #arithmetic: readonly string[];

  constructor(chance: Chance, dialect: Dialect) {
    this.#chance = chance;
    this.#modern = dialect.modern;
    this.#starts = dialect.starts;
    this.#arithmetic = dialect.modern ? [...ARITHMETIC, "atan2"] : ARITHMETIC;
  }

  /** A whole query: mostly a vector. */
  query(): string {
    const depth = this.#chance.oneIn(10) ? 5 : this.#chance.below(4);
    return this.#chance.oneIn(20) ? this.#scalar(depth) : this.#vector(depth);
  }

  #vector(depth: number): string {
    if (depth <= 0) return this.#selector();
    const d = depth - 1;
    const choices = [
      () => this.#selector(),
      () => this.#rangeCall(d),
      () => this.#rangeCall(d),
      () => this.#rangeCall(d),
      () => this.#aggregation(d),
      () => this.#aggregation(d),
      () => this.#binary(d),
      () => this.#binary(d),
      () => `(${this.#vector(d)})`,
      () => `-${this.#vector(0)}`,
      () => this.#call(d),
      () => this.#call(d),
      () => `${this.#chance.pick(this.#modern ? UNARY : OLDER_UNARY)}(${this.#vector(d)})`,
      () => `${this.#chance.pick(this.#modern ? UNARY : OLDER_UNARY)}(${this.#vector(0)})`,
      () => this.#histogramCall(d),
    ];
    return this.#chance.pick(choices)();
  }

  #name(): string {
    if (this.#starts && this.#chance.oneIn(3)) return "started_total";
    const natives = this.#modern && this.#chance.oneIn(3);
    if (this.#modern && !natives && this.#chance.oneIn(10)) return "odd";
    return this.#chance.pick(natives ? NATIVES : FLOATS);
  }

  #matchers(): string {
    const one = () =>
      this.#chance.pick(['job="a"', 'job!="a"', 'instance=~"1|2"', 'instance!~"1|3"', 'zone=""', 'job=~".+"']);
    if (this.#chance.oneIn(2)) return "";
    return this.#modern && this.#chance.oneIn(4) ? `{${one()}, ${one()}}` : `{${one()}}`;
  }

  /** `offset`, `@`, or nothing. */
  #modifiers(): string {
    let out = "";
    if (this.#chance.oneIn(6)) out += ` offset ${this.#chance.pick(OFFSETS)}`;
    if (this.#chance.oneIn(10)) out += this.#chance.pick([" @ start()", " @ end()", " @ {T}"]);
    return out;
  }

  #selector(): string {
    if (this.#chance.oneIn(12))
      return `{__name__=~"latency_(sum|count)"${this.#modifiers() === "" ? "" : ', job="a"'}}`;
    const extended = this.#modern && this.#chance.oneIn(25) ? " smoothed" : "";
    return `${this.#name()}${this.#matchers()}${extended}${this.#modifiers()}`;
  }

  /** Not both offset and @: what timestamp() then answers depends on the version of Prometheus. */
  #plainSelector(): string {
    return `${this.#name()}${this.#matchers()}${this.#chance.pick(["", " offset 1m", " @ end()"])}`;
  }

  #range(depth: number, extended = ""): string {
    const duration = this.#duration();
    if (this.#modern && extended === "" && depth > 0 && this.#chance.oneIn(4)) {
      const step = this.#chance.pick(["", "30s", "1m", "17s"]);
      return `(${this.#vector(depth - 1)})[${duration}:${step}]${this.#modifiers()}`;
    }
    return `${this.#name()}${this.#matchers()}[${duration}]${extended}${this.#modifiers()}`;
  }

  #duration(): string {
    if (this.#modern && this.#chance.oneIn(12))
      return this.#chance.pick(["1m * 2", "step() + 1m", "5m - 30s", "2m % 45s"]);
    return this.#chance.pick(DURATIONS);
  }

  #rangeCall(depth: number): string {
    const modern = this.#modern && this.#chance.oneIn(5);
    if (modern) {
      if (this.#chance.oneIn(2)) {
        const extended = this.#chance.pick([" anchored", " smoothed"]);
        const known = extended === " anchored" ? ["rate", "increase", "delta", "changes", "resets"] : RATES.slice(0, 3);
        return `${this.#chance.pick(known)}(${this.#range(0, extended)})`;
      }
      const func = this.#chance.pick([...MODERN_RANGES, ...EXTREME_TIMES]);
      // Times as distances: of numbers that large a standard deviation is noise, other noise in another order.
      return func.startsWith("ts_of") ? `(${func}(${this.#range(depth)}) - {T})` : `${func}(${this.#range(depth)})`;
    }
    const choices = [
      () => `${this.#chance.pick(OVER_TIME)}_over_time(${this.#range(depth)})`,
      () => `${this.#chance.pick(OVER_TIME)}_over_time(${this.#range(0)})`,
      () => this.#rate(depth),
      () => this.#rate(depth),
      () => `quantile_over_time(${this.#chance.pick(["0.5", "0.9", "1", "0", "-1"])}, ${this.#range(depth)})`,
      () =>
        this.#modern
          ? `predict_linear(${this.#range(depth)}, ${this.#chance.pick(["60", "3600"])})`
          : `deriv(${this.#range(depth)})`,
      () => `absent_over_time(${this.#range(0)})`,
      () => `quantile_over_time(${this.#modern ? `scalar(${this.#vector(0)}) / 100` : "0.75"}, ${this.#range(depth)})`,
      () =>
        this.#modern
          ? `double_exponential_smoothing(${this.#range(depth)}, 0.5, ${this.#chance.pick(["0.1", "0.9"])})`
          : `count_over_time(${this.#range(depth)})`,
    ];
    return this.#chance.pick(choices)();
  }

  #rate(depth: number): string {
    const func = this.#chance.pick(RATES);
    if (this.#modern) return `${func}(${this.#range(depth)})`;
    return `${func}(${this.#chance.pick(WHOLE)}${this.#matchers()}[${this.#chance.pick(DURATIONS)}]${this.#modifiers()})`;
  }

  #grouping(): string {
    if (this.#chance.oneIn(3)) return "";
    const labels = this.#chance.some(LABELS, 2);
    return ` ${this.#chance.pick(["by", "without"])} (${labels.join(", ")}) `;
  }

  #aggregation(depth: number): string {
    const grouping = this.#grouping();
    if (this.#chance.oneIn(8)) {
      const phi = this.#chance.pick(["0.5", "0.25", "1", "0", "2", "-0.5", "NaN"]);
      return `quantile${grouping}(${phi}, ${this.#vector(depth)})`;
    }
    // Of computed values the last digit is open, and here it would be a label.
    if (this.#chance.oneIn(12)) return `count_values${grouping}("kind", ${this.#selector()})`;
    if (this.#chance.oneIn(12)) return `${this.#chance.pick(["topk", "bottomk"])}${grouping}(2, temperature)`;
    if (this.#modern && this.#chance.oneIn(12)) {
      return `limit_ratio${grouping}(${this.#chance.pick(["0.5", "-0.3", "0.8", "1.5"])}, ${this.#selector()})`;
    }
    return `${this.#chance.pick(this.#modern ? AGGREGATIONS : AGGREGATIONS.slice(0, 6))}${grouping}(${this.#vector(depth)})`;
  }

  #binary(depth: number): string {
    const kind = this.#chance.below(10);
    if (kind < 3) {
      const op = this.#chance.pick([...this.#arithmetic, ...COMPARISONS]);
      const bool = COMPARISONS.includes(op) && this.#chance.oneIn(3) ? " bool" : "";
      const trim = this.#modern && this.#chance.oneIn(6);
      const [a, b] = [this.#vector(depth), this.#scalar(0)];
      if (trim) return `${this.#chance.pick(NATIVES)} ${this.#chance.pick(["</", ">/"])} ${b}`;
      return this.#chance.oneIn(2) ? `${a} ${op}${bool} ${b}` : `${b} ${op}${bool} ${a}`;
    }
    if (kind < 5) {
      return `${this.#vector(depth)} ${this.#chance.pick(["and", "or", "unless"])}${this.#matching()} ${this.#vector(depth)}`;
    }
    const op = this.#chance.pick(this.#modern ? [...this.#arithmetic, ...COMPARISONS] : this.#arithmetic);
    const bool = COMPARISONS.includes(op) && this.#chance.oneIn(3) ? " bool" : "";
    const matching = this.#chance.oneIn(3)
      ? this.#chance.pick([
          " on (job, instance) group_left ()",
          " on (job) group_left (zone)",
          " ignoring (kind, le) group_right ()",
        ])
      : this.#matching();
    const fill =
      this.#modern && this.#chance.oneIn(10)
        ? this.#chance.pick([" fill (0)", " fill_left (1)", " fill_right (-1)"])
        : "";
    return `${this.#vector(depth)} ${op}${bool}${matching}${fill} ${this.#vector(depth)}`;
  }

  #matching(): string {
    if (this.#chance.oneIn(2)) return "";
    return ` ${this.#chance.pick(["on", "ignoring"])} (${this.#chance.some(LABELS, 3).join(", ")})`;
  }

  #call(depth: number): string {
    const v = () => this.#vector(depth);
    const choices = [
      () => (this.#modern ? `start_timestamp(${this.#plainSelector()})` : `ceil(${v()})`),
      () => `timestamp(${this.#chance.oneIn(2) ? this.#plainSelector() : `(${v()}) + 0`})`,
      // Not to halves or wholes: sums that differ in their last digit would lie on either side of a tie.
      () => `round(${v()}, ${this.#chance.pick(["0.3", "1.1", "7"])})`,
      () => `clamp(${v()}, ${this.#chance.pick(["0", "-5"])}, ${this.#chance.pick(["10", "-7"])})`,
      () => `clamp_min(${v()}, ${this.#scalar(0)})`,
      () => `clamp_max(${v()}, ${this.#scalar(0)})`,
      () => `absent(${v()})`,
      () => `vector(${this.#scalar(depth)})`,
      () => `sort(${v()})`,
      () => `label_replace(${v()}, "kind", "$1-x", "${this.#chance.pick(LABELS)}", "(.*)")`,
      () => `label_join(${v()}, "kind", "-", "job", "instance")`,
      () => `sort_desc(${v()})`,
      () => (this.#modern ? `sort_by_label${this.#chance.pick(["", "_desc"])}(${v()}, "instance", "job")` : v()),
      () => `scalar(${v()}) + ${v()}`,
      () =>
        this.#modern ? `info(${v()}${this.#chance.pick(["", ', {version=~".+"}', ', {__name__=~".+_info"}'])})` : v(),
    ];
    return this.#chance.pick(choices)();
  }

  #histogramCall(depth: number): string {
    const buckets = () =>
      this.#chance.pick([
        "latency_bucket",
        "sum by (job, le) (latency_bucket)",
        ...(this.#modern ? ["rate(latency_bucket[5m])", "sum by (le) (rate(latency_bucket[5m]))"] : []),
      ]);
    const input = () => {
      if (!this.#modern || this.#chance.oneIn(3)) return buckets();
      return this.#chance.pick([
        this.#chance.pick(NATIVES),
        `rate(${this.#chance.pick(NATIVES)}[5m])`,
        `sum by (job) (rate(${this.#chance.pick(NATIVES)}[5m]))`,
        `sum(${this.#chance.pick(NATIVES)})`,
        this.#vector(depth),
      ]);
    };
    const phi = this.#chance.pick(["0.5", "0.9", "0.99", "0", "1", "-1", "NaN"]);
    if (!this.#modern) return `histogram_quantile(${phi}, ${buckets()})`;
    const choices = [
      () => `histogram_quantile(${phi}, ${input()})`,
      () =>
        `histogram_fraction(${this.#chance.pick(["0", "-Inf", "-1"])}, ${this.#chance.pick(["1", "0.3", "Inf"])}, ${input()})`,
      () => `histogram_quantiles(${input()}, "q", 0.1, ${phi})`,
      () => `${this.#chance.pick(NATIVE_FUNCTIONS)}(${input()})`,
    ];
    return this.#chance.pick(choices)();
  }

  #extreme(depth: number): string {
    return `${this.#chance.pick(["max_of", "min_of"])}(1, ${this.#scalar(depth)})`;
  }

  #scalar(depth: number): string {
    if (this.#modern && this.#chance.oneIn(6)) return this.#chance.pick(SCALAR_CALLS);
    if (depth <= 0 || this.#chance.oneIn(2)) return this.#chance.pick(SCALARS);
    const choices = [
      () => this.#chance.pick(["time()", "pi()"]),
      () => `scalar(${this.#vector(depth - 1)})`,
      () => `(${this.#scalar(depth - 1)} ${this.#chance.pick(this.#arithmetic)} ${this.#scalar(depth - 1)})`,
      () => (this.#modern ? this.#extreme(depth - 1) : "time()"),
      () =>
        this.#modern ? this.#chance.pick(["step()", "range()", "start()", "end()", this.#extreme(depth - 1)]) : "pi()",
    ];
    return this.#chance.pick(choices)();
  }
}
