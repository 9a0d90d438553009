// services/select/held-answers.ts: memory of results whose answers are longer than a socket takes at once: clients that read slowly hold them,
// after their queries have left the gate. Together they have a limit.
import { columnBytes, LimitError } from "../../libs/model/index.ts";
import type { QueryValue } from "../../libs/promql/index.ts";

export class HeldAnswers {
  readonly #bytesMax: number;
  readonly #onRefused: () => void;
  #bytes = 0;

  /** `onRefused` hears of each answer that there was no room for. */
  constructor(bytesMax: number, onRefused: () => void) {
    this.#bytesMax = bytesMax;
    this.#onRefused = onRefused;
  }

  /** Memory of results that are being read. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The chunks of an answer, whose result counts from the second one until all have been taken, or none will be any more. One result is held
   * whatever its size, since its query was allowed. Errors: LimitError (429) at the second chunk, when this and the others are too many.
   */
  *hold(value: QueryValue, chunks: Iterable<Uint8Array>): Generator<Uint8Array, void> {
    const source = chunks[Symbol.iterator]();
    const first = source.next();
    if (first.done === true) return;
    yield first.value;
    const second = source.next();
    if (second.done === true) return;
    const bytes = resultBytes(value);
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) {
      const message = `cannot answer query: got a result of ${bytes} bytes beside ${this.#bytes} that clients are reading; want at most ${this.#bytesMax} (--query-answers-max)`;
      this.#onRefused();
      throw new LimitError("query-answers-max", message, true);
    }
    this.#bytes += bytes;
    try {
      yield second.value;
      for (let next = source.next(); next.done !== true; next = source.next()) yield next.value;
    } finally {
      this.#bytes -= bytes;
    }
  }
}

function resultBytes(value: QueryValue): number {
  if (value.type === "scalar" || value.type === "string") return 0;
  let bytes = columnBytes(value.columns);
  for (const { labels } of value.columns) for (const text of labels) bytes += text.length;
  return bytes;
}
