// services/select/active-queries.ts: the queries that run or wait now, and the slowest that ran: who asked what, and what it took.
// Invariant: what is remembered is bounded: texts are cut, and of finished queries only the slowest stay.
import { CanceledError } from "../../libs/model/index.ts";
import { QueryProgress } from "../../libs/promql/index.ts";
import type { Exchange } from "../../libs/runtime/index.ts";

/** Finished queries that are remembered. */
const SLOWEST_MAX = 100;
/** Characters of a query, a caller or a plan that are kept. */
const TEXT_MAX = 4096;
const CALLER_MAX = 200;

export type QueryState = "waiting" | "running" | "done" | "failed";

/** A query as it is shown. */
export interface QueryRecord {
  readonly id: string;
  readonly state: QueryState;
  /** instant, range, metadata or read. */
  readonly kind: string;
  readonly tenant: string;
  readonly caller: string;
  readonly query: string;
  /** When it came, RFC 3339. */
  readonly start: string;
  readonly durationSeconds: number;
  readonly samples: number;
  readonly series: number;
  /** Bytes that storages answered, and those of its points at the most. */
  readonly bytes: number;
  readonly peakBytes: number;
  readonly plan: string;
  /** Why it ended without an answer. */
  readonly error?: string;
}

/** A query under way. */
export class ActiveQuery {
  readonly id: string;
  readonly tenant: string;
  readonly progress = new QueryProgress();
  state: QueryState = "waiting";
  readonly #kind: string;
  readonly #caller: string;
  readonly #query: string;
  /** Gone once it has ended: there is nothing to stop. */
  #abort: AbortController | undefined;
  readonly #startMs: number;
  readonly #started = performance.now();
  #seconds: number | undefined;
  #error: string | undefined;

  constructor(id: string, kind: string, tenant: string, query: string, exchange: Exchange, nowMs: number) {
    this.id = id;
    this.tenant = tenant;
    this.#kind = kind;
    this.#caller = callerOf(exchange);
    this.#query = cut(query, TEXT_MAX);
    this.#abort = exchange.abort;
    this.#startMs = nowMs;
  }

  get seconds(): number {
    return this.#seconds ?? (performance.now() - this.#started) / 1000;
  }

  stop(): void {
    this.#abort?.abort(new CanceledError(`query was canceled: it was stopped as query ${this.id}`));
  }

  end(error: unknown): void {
    this.#seconds = this.seconds;
    this.state = error === undefined ? "done" : "failed";
    this.#abort = undefined;
    if (error !== undefined) this.#error = cut(error instanceof Error ? error.message : String(error), TEXT_MAX);
  }

  record(): QueryRecord {
    const { samplesRead, seriesCount, bytes, peakPoints, plan } = this.progress;
    return {
      ...{ id: this.id, state: this.state, kind: this.#kind, tenant: this.tenant, caller: this.#caller },
      ...{ query: this.#query, start: new Date(this.#startMs).toISOString(), durationSeconds: this.seconds },
      ...{ samples: samplesRead, series: seriesCount, bytes, peakBytes: 8 * peakPoints, plan: cut(plan(), TEXT_MAX) },
      ...(this.#error === undefined ? {} : { error: this.#error }),
    };
  }
}

export class ActiveQueries {
  readonly #running = new Map<string, ActiveQuery>();
  /** Slowest first. */
  readonly #slowest: ActiveQuery[] = [];
  #begun = 0;

  /** Notes a query that begins; it is told to `end` when it is over. */
  begin(kind: string, tenant: string, query: string, exchange: Exchange, nowMs: number): ActiveQuery {
    this.#begun++;
    const active = new ActiveQuery(String(this.#begun), kind, tenant, query, exchange, nowMs);
    this.#running.set(active.id, active);
    return active;
  }

  end(active: ActiveQuery, error: unknown): void {
    this.#running.delete(active.id);
    active.end(error);
    const { seconds } = active;
    const slowest = this.#slowest;
    if (slowest.length === SLOWEST_MAX && slowest.at(-1)!.seconds >= seconds) return;
    let at = slowest.length;
    while (at > 0 && slowest[at - 1]!.seconds < seconds) at--;
    slowest.splice(at, 0, active);
    if (slowest.length > SLOWEST_MAX) slowest.pop();
  }

  /** Longest running first. `tenant` undefined: all tenants'. */
  running(tenant: string | undefined): QueryRecord[] {
    const all = [...this.#running.values()].filter((q) => tenant === undefined || q.tenant === tenant);
    return all.map((q) => q.record()).sort((a, b) => b.durationSeconds - a.durationSeconds);
  }

  /** Slowest first. */
  slowest(tenant: string | undefined): QueryRecord[] {
    return this.#slowest.filter((q) => tenant === undefined || q.tenant === tenant).map((q) => q.record());
  }

  /** Stops a query; false when there is none of this tenant by that id. */
  stop(id: string, tenant: string | undefined): boolean {
    const found = this.#running.get(id);
    if (found === undefined || (tenant !== undefined && found.tenant !== tenant)) return false;
    found.stop();
    return true;
  }
}

/** Where a request came from, and what its client calls itself. */
function callerOf(exchange: Exchange): string {
  const address = exchange.request.socket.remoteAddress ?? "";
  const forwarded = exchange.header("x-forwarded-for");
  const user = exchange.header("x-grafana-user");
  const agent = exchange.header("user-agent");
  const parts = [address, forwarded && `for ${forwarded}`, user && `user ${user}`, agent];
  return cut(parts.filter((part) => part).join(" "), CALLER_MAX);
}

function cut(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max)}…`;
}
