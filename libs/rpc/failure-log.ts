// libs/rpc/failure-log.ts: log lines about peers' failures, so few that a hostile peer can't fill a disk.
import { AppError } from "../model/index.ts";

/** Where lines go; pino's loggers have this form. */
export interface WarningLog {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

const QUIET_MS = 10_000;
/** Kinds of failures remembered; beyond it they share one line. */
const KINDS_MAX = 100;

/** One line per kind of failure and ten seconds; the next line of a kind says how many were left out. */
export class FailureLog {
  readonly #log: WarningLog;
  readonly #now: () => number;
  readonly #kinds = new Map<string, { untilMs: number; leftOut: number }>();

  /** @param now milliseconds that only grow */
  constructor(log: WarningLog, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  write(what: string, remote: string, error: unknown): void {
    const reason = reasonOf(error);
    let key = what;
    let kind = this.#kinds.get(key);
    if (kind === undefined && this.#kinds.size >= KINDS_MAX) {
      key = "";
      kind = this.#kinds.get(key);
    }
    const nowMs = this.#now();
    if (kind !== undefined && nowMs < kind.untilMs) {
      kind.leftOut++;
      return;
    }
    this.#kinds.set(key, { untilMs: nowMs + QUIET_MS, leftOut: 0 });
    this.#log.warn({ what, remote, reason: reason.slice(0, 2000), left_out: kind?.leftOut ?? 0 }, `refused: ${what}`);
  }
}

/** The message of an expected error; of a bug also where it is. */
function reasonOf(error: unknown): string {
  if (error instanceof AppError && error.reaction !== "internal") return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
