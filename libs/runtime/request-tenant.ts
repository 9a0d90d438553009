// libs/runtime/request-tenant.ts: whose data a request is about: the path, else the header X-Scope-OrgID, else the default.
import { DEFAULT_TENANT, parseTenant } from "../model/index.ts";
import type { Exchange } from "./http-exchange.ts";

/** The tenant of a request. Errors: InvalidError (400) for a name that is not one. */
export function requestTenant(exchange: Exchange): string {
  const named = exchange.params.tenant ?? exchange.header("x-scope-orgid");
  return named === undefined ? DEFAULT_TENANT : parseTenant(named);
}
