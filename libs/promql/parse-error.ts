// libs/promql/parse-error.ts: what a query text that does not parse turns into.
// The message is Prometheus' text, `line:column: parse error: reason`; line and column count from 1, columns in UTF-8 bytes.
import { InvalidError } from "../model/index.ts";
import type { Position } from "./ast.ts";

/** Reasons quote parts of the query. Beyond this many characters they are cut, lest an answer be as long as the query. */
export const REASON_LENGTH_MAX = 4096;

/** A query that does not parse or does not type-check: status 400. The first error of the text, as Prometheus reports. */
export class ParseError extends InvalidError {
  /** Byte offsets into the UTF-8 text of the part that is wrong. */
  readonly pos: Position;
  /** The message without its position. */
  readonly reason: string;

  constructor(text: string, pos: Position, reason: string) {
    const shown = reason.length <= REASON_LENGTH_MAX ? reason : `${reason.slice(0, REASON_LENGTH_MAX)}…`;
    super(`${lineAndColumn(text, pos.start)}: parse error: ${shown}`);
    this.pos = pos;
    this.reason = shown;
  }
}

/** `line:column` of a byte offset, as Prometheus writes it. Encodes the text, so it is for error paths only. */
export function lineAndColumn(text: string, start: number): string {
  if (text === "") return "unknown position";
  const bytes = Buffer.from(text, "utf8");
  if (start < 0 || start > bytes.length) return "invalid position";
  let line = 1;
  let lineBreak = -1;
  for (let at = bytes.indexOf(10); at >= 0 && at < start; at = bytes.indexOf(10, at + 1)) {
    lineBreak = at;
    line++;
  }
  return `${line}:${start - lineBreak}`;
}
