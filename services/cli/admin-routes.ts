// services/cli/admin-routes.ts: what an operator may ask of a storage by hand, behind --enable-admin-api: flush, compact, a snapshot.
// All do it now, and answer with what was done when it is done.
import type { Exchange, Route } from "../../libs/runtime/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";

/** `/api/v1/admin/flush`, `/api/v1/admin/compact` and Prometheus' `/api/v1/admin/tsdb/snapshot`; none when the admin API is off. `db` is asked for once the process is ready. */
export function adminRoutes(db: () => Db, enabled: boolean): Route[] {
  if (!enabled) return [];
  const route = (name: string, run: () => Promise<object>, methods: Route["methods"] = ["POST"]): Route => ({
    methods,
    pattern: `/api/v1/admin/${name}`,
    needsEngine: true,
    handle: async (exchange: Exchange) => {
      const data = await run();
      await exchange.send(200, "application/json", Buffer.from(JSON.stringify({ status: "success", data })));
    },
  });
  return [
    route("flush", () => db().flush()),
    route("compact", () => db().compact()),
    route("tsdb/snapshot", async () => ({ name: await db().snapshot() }), ["POST", "PUT"]),
  ];
}
