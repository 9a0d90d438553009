// libs/runtime/operational-routes.ts: the routes every service has: health, readiness, metrics.
import type { Route } from "./http.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { Metrics } from "./metrics.ts";

/** `/-/healthy`, `/-/ready` and `/metrics`. */
export function operationalRoutes(lifecycle: Lifecycle, metrics: Metrics): Route[] {
  return [
    {
      methods: ["GET", "HEAD"],
      pattern: "/-/healthy",
      needsEngine: false,
      handle: (x) => x.text(200, "Tidemark is healthy."),
    },
    {
      methods: ["GET", "HEAD"],
      pattern: "/-/ready",
      needsEngine: false,
      handle: (x) => {
        const { state } = lifecycle;
        // Who takes no writes still answers queries: readiness is about being asked at all.
        const restriction = lifecycle.restriction();
        if (state === "ready")
          x.text(200, `Tidemark is ready.${restriction === undefined ? "" : ` Queries only: ${restriction}`}`);
        else
          x.text(503, "Service Unavailable", [
            "X-Prometheus-Stopping",
            String(state === "stopping"),
            "Retry-After",
            "5",
          ]);
      },
    },
    {
      methods: ["GET", "HEAD"],
      pattern: "/metrics",
      needsEngine: false,
      handle: async (x) => x.send(200, Metrics.contentType, Buffer.from(await metrics.text())),
    },
  ];
}
