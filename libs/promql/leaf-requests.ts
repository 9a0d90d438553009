// libs/promql/leaf-requests.ts: asks the storages for a query's leaves: each distinct leaf once, a few at a time.
import type { Leaf, LeafResult, LevelChoice, Queryable, QueryContext } from "../model/index.ts";
import type { Budget } from "./budget.ts";

/** Leaves of one query that are under way at a time. */
const CONCURRENCY = 16;

/** A leaf that was asked for. */
interface Request {
  readonly leaf: Leaf;
  readonly result: Promise<LeafResult>;
}

/** The leaves of one query. Columns are shared by all nodes that ask for the same leaf, so nobody writes to them. */
export class LeafRequests {
  readonly #queryable: Queryable;
  readonly #context: QueryContext;
  readonly #budget: Budget;
  /** Most queries have one leaf: nothing has to be told from it, and its key is not made before there is another. */
  #first: Request | undefined;
  #known: Map<string, Promise<LeafResult>> | undefined;
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
    // Per-step arguments are columns of this query; comparing them would cost more than asking again.
    if (leaf.args.some((arg) => typeof arg !== "number")) return this.#request(leaf);
    if (this.#first === undefined) {
      this.#first = { leaf, result: this.#request(leaf) };
      return this.#first.result;
    }
    this.#known ??= new Map([[leafKey(this.#first.leaf), this.#first.result]]);
    const key = leafKey(leaf);
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

function leafKey(leaf: Leaf): string {
  return JSON.stringify({ ...leaf, args: leaf.args.map(String) });
}
