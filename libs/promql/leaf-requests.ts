// libs/promql/leaf-requests.ts: asks the storages for a query's leaves: each distinct leaf once, a few at a time.
import type { Leaf, LeafResult, LevelChoice, Queryable, QueryContext } from "../model/index.ts";
import type { Budget } from "./budget.ts";

/** Leaves of one query that are under way at a time. */
const CONCURRENCY = 16;

/** The leaves of one query. Columns are shared by all nodes that ask for the same leaf, so nobody writes to them. */
export class LeafRequests {
  readonly #queryable: Queryable;
  readonly #context: QueryContext;
  readonly #budget: Budget;
  readonly #known = new Map<string, Promise<LeafResult>>();
  readonly #waiting: (() => void)[] = [];
  readonly #level: LevelChoice;
  #running = 0;

  constructor(queryable: Queryable, context: QueryContext, budget: Budget, level: LevelChoice = "auto") {
    this.#queryable = queryable;
    this.#context = context;
    this.#budget = budget;
    this.#level = level;
  }

  /** Evaluates a leaf, or joins the request for an equal one. Errors: those of the storage, and LimitError. */
  evaluate(leaf: Leaf): Promise<LeafResult> {
    const key = leafKey(leaf);
    // Per-step arguments are columns of this query; comparing them would cost more than asking again.
    if (key === undefined) return this.#request(leaf);
    let result = this.#known.get(key);
    if (result === undefined) {
      result = this.#request(leaf);
      this.#known.set(key, result);
    }
    return result;
  }

  async #request(leaf: Leaf): Promise<LeafResult> {
    if (this.#running < CONCURRENCY) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      this.#budget.check();
      const asked = this.#level === "auto" ? leaf : { ...leaf, level: this.#level };
      const result = await this.#queryable.evaluate(asked, { ...this.#context, samplesMax: this.#budget.samplesLeft });
      this.#budget.check();
      this.#budget.read(result);
      return result;
    } finally {
      // A waiting request takes over the place of this one.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

function leafKey(leaf: Leaf): string | undefined {
  if (leaf.args.some((arg) => typeof arg !== "number")) return undefined;
  return JSON.stringify({ ...leaf, args: leaf.args.map(String) });
}
