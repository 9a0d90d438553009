// services/select/queries-endpoint.ts: `status/queries`: what runs, what was slowest, and DELETE to stop one.
// Who names a tenant, by path or header, sees and stops that tenant's queries only; who names none, everybody's.
import { type Exchange, HttpError, type Route, requestTenant } from "../../libs/runtime/index.ts";
import type { ActiveQueries } from "./active-queries.ts";
import { apiRoutes, type Endpoint, jsonFailure } from "./api.ts";
import { renderData } from "./json.ts";

/** The routes of `status/queries`. */
export function queriesRoutes(queries: ActiveQueries, bodyMaxBytes: number): Route[] {
  const endpoints: Endpoint[] = [
    {
      path: "status/queries",
      acceptsPost: false,
      answer: ({ exchange }) => {
        const tenant = namedTenant(exchange);
        return renderData({ running: queries.running(tenant), slowest: queries.slowest(tenant) });
      },
    },
  ];
  const stop = (exchange: Exchange): void => {
    const id = exchange.params.id!;
    if (!queries.stop(id, namedTenant(exchange))) {
      throw new HttpError(404, `cannot stop query: got id ${JSON.stringify(id)}; want that of a running query`);
    }
    exchange.empty(204);
  };
  const prefixes = ["/api/v1/status/queries/:id", "/select/:tenant/prometheus/api/v1/status/queries/:id"];
  return [
    ...apiRoutes(endpoints, bodyMaxBytes),
    ...prefixes.map((pattern): Route => {
      return { methods: ["DELETE"], pattern, needsEngine: true, handle: stop, fail: jsonFailure };
    }),
  ];
}

function namedTenant(exchange: Exchange): string | undefined {
  const isNamed = exchange.params.tenant !== undefined || exchange.header("x-scope-orgid") !== undefined;
  return isNamed ? requestTenant(exchange) : undefined;
}
