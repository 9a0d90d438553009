// libs/promql/parsed-queries.ts: the trees of queries that were asked lately. A dashboard asks the same texts at every refresh, with other times;
// of a query of one series parsing is a tenth.
import type { Expr } from "./ast.ts";
import { ALL_OPTIONS, type ParserOptions } from "./options.ts";
import { parseExpr } from "./parser.ts";

/** Longer texts are parsed each time, and all that are kept together are no longer than this: a tree takes about a hundred times its text. */
const TEXT_MAX = 2048;
export const TEXTS_MAX = 64 * 1024;

/** Parses by one set of options. Trees are shared: nobody writes to them. */
export class ParsedQueries {
  readonly #options: ParserOptions;
  /** The least recently used first. */
  readonly #trees = new Map<string, Expr>();
  #length = 0;

  constructor(options: ParserOptions = ALL_OPTIONS) {
    this.#options = options;
  }

  /** How many are kept. */
  get size(): number {
    return this.#trees.size;
  }

  /** As parseExpr. */
  parse(text: string): Expr {
    const known = this.#trees.get(text);
    if (known !== undefined) {
      this.#trees.delete(text);
      this.#trees.set(text, known);
      return known;
    }
    const tree = parseExpr(text, this.#options);
    if (text.length > TEXT_MAX) return tree;
    this.#trees.set(text, tree);
    this.#length += text.length;
    for (const oldest of this.#trees.keys()) {
      if (this.#length <= TEXTS_MAX) break;
      this.#trees.delete(oldest);
      this.#length -= oldest.length;
    }
    return tree;
  }
}
