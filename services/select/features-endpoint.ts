// services/select/features-endpoint.ts: `features`: what of Prometheus 3.14 is there, by its own names. Left-out categories
// are about what Tidemark leaves to others: scraping, service discovery, alert templates.
import { type ParserOptions, SIGNATURES } from "../../libs/promql/index.ts";
import type { Endpoint } from "./api.ts";
import { renderData } from "./json.ts";

const OPERATORS =
  "!= !~ % * + - / < </ <= == =~ > >/ >= @ ^ and atan2 avg bottomk count count_values group max min or quantile stddev stdvar sum topk unless";
const EXPERIMENTAL_OPERATORS = "limit_ratio limitk";
const LANGUAGE =
  "at_modifier bool by group_left group_right ignoring negative_offset offset on per_query_lookback_delta subqueries without";

/** `options` says which parts of the language queries may use. */
export function featuresEndpoint(options: ParserOptions, acceptsWrites: boolean): Endpoint {
  const all = (names: string, value = true) => names.split(" ").map((name): [string, boolean] => [name, value]);
  const functions = [...SIGNATURES.values()].map(({ name, experimental }): [string, boolean] => {
    return [name, !experimental || options.experimentalFunctions];
  });
  const features = {
    api: sorted([
      ...all("exclude_alerts label_values_match query_stats query_warnings time_range_labels time_range_series"),
      ...all("admin lifecycle openapi_3.1 openapi_3.2 otlp_write_receiver search", false),
      ["remote_write_receiver", acceptsWrites],
    ]),
    prometheus: sorted([...all("server_mode"), ...all("agent_mode auto_reload_config", false)]),
    promql: sorted([
      ...all(LANGUAGE),
      ...all("anchored smoothed", options.extendedSelectors),
      ...all("fill fill_left fill_right", options.fillModifiers),
      ...all("duration_expr", options.durationExpressions),
      ...all("per_step_stats", options.experimentalFunctions),
      ...all("delayed_name_removal type_and_unit_labels", false),
    ]),
    promql_functions: sorted(functions),
    promql_operators: sorted([...all(OPERATORS), ...all(EXPERIMENTAL_OPERATORS, options.experimentalFunctions)]),
  };
  const bytes = renderData(features);
  return { path: "features", acceptsPost: false, answer: () => bytes };
}

function sorted(entries: readonly (readonly [string, boolean])[]): Record<string, boolean> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}
