// services/select/search-endpoints.ts: `search/metric_names`, `search/label_names`, `search/label_values`: experimental in Prometheus, and
// answered as by one that has them switched off. `features` says so as well.
import type { Route } from "../../libs/runtime/index.ts";
import { apiRoutes } from "./api.ts";
import { renderError } from "./json.ts";

export function searchRoutes(): Route[] {
  const paths = ["search/metric_names", "search/label_names", "search/label_values"];
  const endpoints = paths.map((path) => ({ path, acceptsPost: true, answer: () => "empty" as const }));
  return apiRoutes(endpoints, 0).map((route) => ({
    ...route,
    handle: (exchange) => exchange.send(500, "application/json", renderError("unavailable", "search API disabled")),
  }));
}
