// services/cli/tenant-retention.ts: the text form of tenants' own retention of raw samples: `team-a=7d,team-b=inf`.
import { parseTenant } from "../../libs/model/index.ts";
import { parseDurationMs } from "../../libs/runtime/index.ts";

export const TENANT_RETENTION_FORM =
  "TENANT=DURATION[,TENANT=DURATION…] with durations or inf, none 0, each tenant once";

/** By tenant, in ms; Infinity: for ever. Undefined for any other form. */
export function parseTenantRetention(text: string): ReadonlyMap<string, number> | undefined {
  const given = new Map<string, number>();
  if (text === "") return given;
  for (const part of text.split(",")) {
    const [tenant, duration, ...more] = part.split("=");
    const ms = duration === "inf" ? Number.POSITIVE_INFINITY : parseDurationMs(duration ?? "");
    if (ms === undefined || ms === 0 || more.length > 0 || !isTenant(tenant!) || given.has(tenant!)) return undefined;
    given.set(tenant!, ms);
  }
  return given;
}

function isTenant(text: string): boolean {
  try {
    return parseTenant(text) === text;
  } catch {
    return false;
  }
}
