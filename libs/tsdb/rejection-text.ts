// libs/tsdb/rejection-text.ts: why samples, histograms or exemplars of a batch were refused, in a sentence for the client.
import type { RejectionReason } from "../model/index.ts";

/** The bounds may be infinite, but not those that were passed. */
export function rejectionText(
  limitText: string,
  reason: RejectionReason,
  tooOldText: () => string,
  maxMs: number,
): string {
  if (reason === "future") return `out of bounds: later than ${new Date(maxMs).toISOString()} (now + --max-future)`;
  if (reason === "too-old") return `too old sample: ${tooOldText()}`;
  return reason === "series-limit" ? `series limit: ${limitText}` : "series id meets other labels";
}
