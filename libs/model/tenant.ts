// libs/model/tenant.ts: tenant names. Safe as a path segment, as a header and as a metric label by construction.
import { InvalidError } from "./errors.ts";

export const DEFAULT_TENANT = "default";
const TENANT_FORM = /^[A-Za-z0-9._-]{1,64}$/;

/** Checks a tenant name. Errors: InvalidError that says the accepted form. */
export function parseTenant(text: string): string {
  if (!TENANT_FORM.test(text) || text === "." || text === "..") {
    throw new InvalidError(
      `cannot use tenant: got ${JSON.stringify(text.slice(0, 80))}; want 1 to 64 of A-Z a-z 0-9 . _ - (not "." or "..")`,
    );
  }
  return text;
}
