// services/select/web-routes.ts: what Prometheus serves beside its API and clients may look for: its version, and the
// refusals of a lifecycle API that is not enabled.
import type { Route } from "../../libs/runtime/index.ts";

/** `/version`, `/-/reload`, `/-/quit`. */
export function webRoutes(build: object): Route[] {
  const version = JSON.stringify(build);
  const lifecycle = (pattern: string): Route => ({
    methods: ["POST", "PUT"],
    pattern,
    needsEngine: false,
    handle: (exchange) => exchange.text(403, "Lifecycle API is not enabled."),
  });
  return [
    {
      methods: ["GET"],
      pattern: "/version",
      needsEngine: false,
      handle: (exchange) => exchange.send(200, "application/json", Buffer.from(version)),
    },
    lifecycle("/-/reload"),
    lifecycle("/-/quit"),
  ];
}
