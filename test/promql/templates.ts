// test/promql/templates.ts: query templates of the kind that compliance testers of PromQL expand and ask, over the demo service's
// metrics: every form by every function, operator, range, offset and quantile. A name in braces stands for each value of its list.

const LISTS: Readonly<Record<string, readonly string[]>> = {
  range: ["1s", "15s", "1m", "5m", "15m", "1h"],
  offset: ["1m", "5m", "10m"],
  aggregation: ["sum", "avg", "max", "min", "count", "stddev", "stdvar"],
  over_time: ["sum", "avg", "max", "min", "count", "stddev", "stdvar", "absent", "last"],
  top: ["topk", "bottomk"],
  quantile: ["-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5"],
  arithmetic: ["+", "-", "*", "/", "%", "^"],
  comparison: ["==", "!=", "<", ">", "<=", ">="],
  binary: ["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">="],
  math: ["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round"],
  trigonometry: [
    "acos",
    "asin",
    "atan",
    "acosh",
    "asinh",
    "atanh",
    "cos",
    "sin",
    "tan",
    "cosh",
    "sinh",
    "tanh",
    "deg",
    "rad",
  ],
  rate: ["delta", "rate", "increase"],
  clamp: ["clamp_min", "clamp_max"],
  instant_rate: ["idelta", "irate"],
  date: ["day_of_month", "day_of_week", "days_in_month", "hour", "minute", "month", "year"],
};

const MEMORY = "demo_memory_usage_bytes";
const CPU = "demo_cpu_usage_seconds_total";

/** Templates that every server has to answer. */
const TEMPLATES: readonly string[] = [
  // Literals.
  ...["42", "1.234", ".123", "1.23e-3", "0x3d", "Inf", "+Inf", "-Inf", "inf", "NaN", '"a string"', "'another'"],
  // Selectors.
  ...[MEMORY, `{__name__="${MEMORY}"}`, `{__name__=~"demo_num_.*"}`, "nonexistent_metric_name"],
  ...["instance", "type"].flatMap((l) => ["=", "!=", "=~", "!~"].map((m) => `${MEMORY}{${l}${m}"demo.*|free"}`)),
  `${MEMORY}{type="free", instance!="demo.example:10000"}`,
  `${MEMORY}{type="free", instance!~".*:10000"}`,
  `{type="free", instance!="demo.example:10000"}`,
  `${MEMORY} offset {offset}`,
  `${MEMORY} offset -{offset}`,
  "demo_intermittent_metric",
  // Aggregations.
  `{aggregation}(${MEMORY})`,
  ...["by", "without"].flatMap((g) =>
    ["()", "(instance)", "(instance, type)", "(nonexistent)"].map((l) => `{aggregation} ${g}${l} (${MEMORY})`),
  ),
  `{aggregation}(nonexistent_metric_name)`,
  `group by (type) (${MEMORY})`,
  `{top} (3, ${MEMORY})`,
  `{top} by (instance) (2, ${MEMORY})`,
  `{top} without (instance) (2, ${MEMORY})`,
  `{top} without () (2, ${MEMORY})`,
  `quantile({quantile}, ${MEMORY})`,
  `quantile by (type) ({quantile}, ${MEMORY})`,
  `avg(max by (type) (${MEMORY}))`,
  `count_values("value", demo_num_cpus)`,
  `count_values by (instance) ("value", demo_num_cpus)`,
  // Operators.
  "1 * 2 + 4 / 6 - 10 % 2 ^ 2",
  `${CPU} {binary} 1.2345`,
  `${CPU} {comparison} bool 1.2345`,
  `1.2345 {comparison} bool ${CPU}`,
  `0.12345 {binary} ${CPU}`,
  `(1 * 2 + 4 / 6 - (10 % 7)^2) {binary} ${CPU}`,
  `${CPU} {binary} (1 * 2 + 4 / 6 - 10)`,
  `1 {arithmetic} 2`,
  `1 {comparison} bool 2`,
  `timestamp(${MEMORY} * 1)`,
  `timestamp(-${MEMORY})`,
  `${CPU} {binary} on (instance, job, mode) ${CPU}`,
  `sum by (instance, mode) (${CPU}) {binary} on (instance, mode) group_left (job) ${CPU}`,
  `${CPU} {comparison} bool on (instance, job, mode) ${CPU}`,
  `${CPU} / on (instance, job, mode, __name__) ${CPU}`,
  `sum without (job) (${CPU}) / on (instance, mode) ${CPU}`,
  `sum without (job) (${CPU}) / on (instance, mode) group_left (job) ${CPU}`,
  `sum without (job) (${CPU}) / ignoring (job) group_left (job) ${CPU}`,
  `${CPU} / on (instance) group_left demo_num_cpus`,
  `${CPU} / on (instance) group_left (job) demo_num_cpus`,
  `${CPU} and on (instance) demo_num_cpus > 2`,
  `${CPU} or ${MEMORY}`,
  `${CPU} unless on (instance) demo_num_cpus == 2`,
  `-${MEMORY}`,
  `+${MEMORY}`,
  `-{aggregation}(${MEMORY})`,
  "1 == bool NaN",
  "NaN == bool NaN",
  // Functions over ranges.
  `{over_time}_over_time(${MEMORY}[{range}])`,
  `{over_time}_over_time(demo_intermittent_metric[{range}])`,
  `quantile_over_time({quantile}, ${MEMORY}[{range}])`,
  `present_over_time(demo_intermittent_metric[{range}])`,
  `{rate}(${CPU}[{range}])`,
  `{rate}(nonexistent_metric[5m])`,
  `{instant_rate}(${CPU}[{range}])`,
  `deriv(demo_disk_usage_bytes[{range}])`,
  `predict_linear(demo_disk_usage_bytes[{range}], 600)`,
  `changes(demo_batch_last_success_timestamp_seconds[{range}])`,
  `resets(${CPU}[{range}])`,
  // Functions of vectors.
  `{math}(${MEMORY})`,
  `{math}(-${MEMORY})`,
  `{trigonometry}(demo_num_cpus / 8)`,
  `{clamp}(${MEMORY}, 2)`,
  `clamp(${MEMORY}, 0, 1000000000000)`,
  `clamp(${MEMORY}, 1000000000000, 0)`,
  `clamp(${MEMORY}, 1000000000000, 1000000000000)`,
  `round(${MEMORY} / 1e6, 0.5)`,
  `sgn(${MEMORY} - 2e9)`,
  "{date}()",
  "{date}(demo_batch_last_success_timestamp_seconds offset {offset})",
  `timestamp(demo_num_cpus)`,
  `timestamp(timestamp(demo_num_cpus))`,
  `label_replace(demo_num_cpus, "job", "destination-value-$1", "instance", "demo.example:(.*)")`,
  `label_replace(demo_num_cpus, "job", "destination-value-$1", "instance", "host:(.*)")`,
  `label_replace(demo_num_cpus, "job", "$1-$2", "instance", "local(.*):(.*)")`,
  `label_replace(demo_num_cpus, "job", "value-$1", "nonexistent-src", "source-value-(.*)")`,
  `label_replace(demo_num_cpus, "job", "value-$1", "nonexistent-src", "(.*)")`,
  `label_replace(demo_num_cpus, "instance", "", "", "")`,
  `label_join(demo_num_cpus, "new_label", "-", "instance", "job")`,
  `label_join(demo_num_cpus, "job", "-", "instance", "job")`,
  `label_join(demo_num_cpus, "job", "-", "instance")`,
  "vector(1.23)",
  "vector(time())",
  "scalar(demo_num_cpus)",
  `scalar(${MEMORY}{instance="demo.example:10000", type="free"})`,
  "time()",
  "pi()",
  `sort(${MEMORY})`,
  `sort_desc(${MEMORY})`,
  "absent(demo_num_cpus)",
  "absent(nonexistent_metric_name)",
  'absent(nonexistent_metric_name{job="demo"})',
  // Histograms.
  `histogram_quantile({quantile}, rate(demo_api_request_duration_seconds_bucket[1m]))`,
  `histogram_quantile({quantile}, sum by (le, path) (rate(demo_api_request_duration_seconds_bucket[5m])))`,
  `histogram_quantile(0.9, nonexistent_metric)`,
  `histogram_quantile(0.9, ${MEMORY})`,
  'histogram_quantile(0.9, {__name__=~"demo_api_request_duration_seconds_.+"})',
  `sum by (path) (rate(demo_api_request_duration_seconds_sum[5m])) / sum by (path) (rate(demo_api_request_duration_seconds_count[5m]))`,
  // Subqueries.
  `max_over_time((time() - max(demo_batch_last_success_timestamp_seconds) < 1000)[5m:10s] offset 5m)`,
  `avg_over_time(rate(${CPU}[1m])[2m:10s])`,
  `{over_time}_over_time(demo_num_cpus[1m:7s])`,
  // What is wrong, with its text.
  'label_replace(demo_num_cpus, "job", "value", "instance", "(.*")',
  `label_replace(${CPU}, "mode", "", "", "")`,
  `${CPU} / on (job) ${CPU}`,
  `${MEMORY} * on (instance) group_left ${MEMORY}`,
  `sum(${MEMORY}`,
  `rate(${CPU})`,
  `1 == 2`,
  `count_values("~", demo_num_cpus) + bool 1`,
];

/** All queries: every template with each combination of its lists' values. */
export function expandedTemplates(): string[] {
  const out = TEMPLATES.flatMap(expand);
  return [...new Set(out)];
}

function expand(template: string): string[] {
  const name = /\{([a-z_]+)\}/.exec(template)?.[1];
  const values = name === undefined ? undefined : LISTS[name];
  if (values === undefined) return [template];
  return values.flatMap((value) => expand(template.replaceAll(`{${name}}`, value)));
}
