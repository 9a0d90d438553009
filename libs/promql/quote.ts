// libs/promql/quote.ts: characters and strings as Prometheus' messages and printed queries show them.
// Reference: Go's strconv.Quote, strconv.QuoteRune and the fmt verbs %q, %#U and %f.
import { formatPlain, quote } from "./go-text.ts";

const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;
/** The replacement character, and the surrogates that stand for bytes. */
const UNQUOTABLE = /([\udc80-\udcff\ufffd])/u;
const PLAIN_ASCII = /^[ !#-[\]-~]*$/;

/**
 * A string in double quotes with Go escapes (%q). The replacement character is escaped, which Go does not do, because
 * the lexer refuses it as it stands; bytes that are no UTF-8 (see literals.ts) appear as `\xff`.
 */
export function quoteString(text: string): string {
  if (PLAIN_ASCII.test(text)) return `"${text}"`;
  const pieces = text.split(UNQUOTABLE);
  let out = '"';
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i]!;
    if (i % 2 === 0) out += quote(piece).slice(1, -1);
    else out += piece === "\uFFFD" ? "\\ufffd" : `\\x${(piece.charCodeAt(0) - 0xdc00).toString(16)}`;
  }
  return `${out}"`;
}

/** A character in single quotes with Go escapes; "" stands for the end of input, which Go shows as U+FFFD. */
export function quoteCharacter(character: string): string {
  if (character === "" || isSurrogate(character)) return "'\uFFFD'";
  if (character === "'") return "'\\''";
  if (character === '"') return `'"'`;
  return `'${quote(character).slice(1, -1)}'`;
}

/** `U+0063 'c'`; unprintable characters without the second part (%#U). */
export function describeCharacter(character: string): string {
  const shown = isSurrogate(character) ? "\uFFFD" : character;
  const code = shown.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  return PRINTABLE.test(shown) ? `U+${code} '${shown}'` : `U+${code}`;
}

/** Quotes the first ten characters of a longer text and says that there is more (%.10q...). */
export function quoteShortened(text: string): string {
  return `${quoteString([...text.slice(0, 20)].slice(0, 10).join(""))}...`;
}

/** Six digits after the point, however large the number is, and a sign before -0 (%f). */
export function formatFixed(value: number): string {
  if (Object.is(value, -0)) return "-0.000000";
  if (Math.abs(value) < 1e21) return value.toFixed(6);
  return Number.isFinite(value) ? `${BigInt(value)}.000000` : formatPlain(value);
}

/** An unpaired half of a character beyond 16 bits: not valid in UTF-8. */
function isSurrogate(character: string): boolean {
  const code = character.charCodeAt(0);
  return character.length === 1 && code >= 0xd800 && code <= 0xdfff;
}
