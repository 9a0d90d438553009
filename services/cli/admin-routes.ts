// services/cli/admin-routes.ts: what an operator may ask of a storage by hand, behind --enable-admin-api: flush, compact, a snapshot, which
// are done now and answered with what was done; and deletions of series.
import { cryptoRandom } from "../../libs/env/index.ts";
import type { Deletable } from "../../libs/model/index.ts";
import type { Exchange, Logger, Route } from "../../libs/runtime/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";
import { deletionRoutes } from "../select/index.ts";

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

/** The form of a request that deletes: a few selectors. */
const BODY_BYTES_MAX = 1 << 20;

/** `/api/v1/admin/tsdb/*`: deletions. They refuse while the admin API is off. */
export function tsdbRoutes(deletable: () => Deletable, enabled: boolean, log: Logger): Route[] {
  return deletionRoutes({
    deletable,
    enabled,
    bodyMaxBytes: BODY_BYTES_MAX,
    makeId: () => Buffer.from(cryptoRandom.bytes(8)).toString("hex"),
    onChange: (what, details) => log.info(details, what),
  });
}
