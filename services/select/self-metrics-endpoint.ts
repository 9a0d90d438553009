// services/select/self-metrics-endpoint.ts: `status/self_metrics`: the metrics of this process as JSON, family by family.
// Format: the JSON of protobuf messages io.prometheus.client.MetricFamily, in which 64-bit counts are texts.
import { compileRegex, InvalidError } from "../../libs/model/index.ts";
import type { ExposedFamily } from "../../libs/runtime/index.ts";
import type { ApiRequest, Endpoint } from "./api.ts";
import type { Form } from "./form.ts";
import { renderData } from "./json.ts";

type Labels = ExposedFamily["values"][number]["labels"];

export function selfMetricsEndpoint(families: () => Promise<readonly ExposedFamily[]>): Endpoint {
  const answer = async ({ form }: ApiRequest): Promise<Uint8Array> => {
    const isWanted = nameFilter(form);
    return renderData((await families()).filter(({ name }) => isWanted(name)).map(familyMessage));
  };
  return { path: "status/self_metrics", acceptsPost: false, needsEngine: false, answer };
}

function nameFilter(form: Form): (name: string) => boolean {
  const pattern = form.get("metric_name_pattern");
  if (pattern === "") return () => true;
  try {
    const regex = compileRegex(`^(?:${pattern})$`);
    return (name) => regex.matches(name);
  } catch (error) {
    throw error instanceof InvalidError ? new InvalidError(`invalid metric_name_pattern: ${error.message}`) : error;
  }
}

function familyMessage({ name, help, type, values }: ExposedFamily): object {
  const isPlain = type === "counter" || type === "gauge";
  const metric = isPlain
    ? values.map(({ labels, value }) => ({ ...labelPairs(labels), [type]: { value: float(value) } }))
    : distributions(name, type, values);
  return { name, help, type: type.toUpperCase(), ...(metric.length === 0 ? {} : { metric }) };
}

/** Histograms and summaries: what has the same labels but for the one that tells buckets, or quantiles, is one. */
function distributions(name: string, type: string, values: ExposedFamily["values"]): object[] {
  const inner = type === "histogram" ? "le" : "quantile";
  const groups = new Map<string, { labels: Labels; parts: object[]; sum: number; count: number }>();
  for (const { name: part, labels: all, value } of values) {
    const { [inner]: bound, ...labels } = all;
    const key = JSON.stringify(Object.entries(labels).sort());
    let group = groups.get(key);
    if (group === undefined) {
      group = { labels, parts: [], sum: 0, count: 0 };
      groups.set(key, group);
    }
    if (part === `${name}_sum`) group.sum = value;
    else if (part === `${name}_count`) group.count = value;
    else if (type === "summary") group.parts.push({ quantile: Number(bound), value: float(value) });
    // The last bucket has what the count has.
    else if (`${bound}` !== "+Inf") group.parts.push({ cumulativeCount: `${value}`, upperBound: Number(bound) });
  }
  return Array.from(groups.values(), ({ labels, parts, sum, count }) => {
    const list = parts.length === 0 ? {} : { [type === "summary" ? "quantile" : "bucket"]: parts };
    return { ...labelPairs(labels), [type]: { sampleCount: `${count}`, sampleSum: float(sum), ...list } };
  });
}

function labelPairs(labels: Labels): { label?: object[] } {
  const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return pairs.length === 0 ? {} : { label: pairs.map(([name, value]) => ({ name, value: `${value}` })) };
}

/** Numbers that JSON doesn't have are texts. */
function float(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}
