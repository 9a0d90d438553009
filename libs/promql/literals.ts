// libs/promql/literals.ts: the values of number and string tokens.
// Reference: Go's strconv.ParseInt with base 0, strconv.ParseFloat, and Prometheus' strutil.Unquote.
// A PromQL string holds bytes, and `"\xff"` is one that no UTF-8 has. Such a byte b becomes the unpaired surrogate
// U+DC00 + b, which no decoded text contains: it prints back as it was written, and makes names that hold it invalid.
import { quoteString } from "./quote.ts";

const INT64_MAX = 2n ** 63n - 1n;
const DECIMAL = /^(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
/** Underscores may stand between digits, and between a base prefix and a digit. */
const UNDERSCORES_MISPLACED = /(?:^|[^0-9a-fA-FxX])_|_(?:$|[^0-9a-fA-F])/;

/**
 * The value of a number: decimal, hexadecimal (`0x1F`), octal (`017`), with underscores, `Inf`, `NaN`. What does not
 * fit an integer is read as a float (`08` is 8). Answers a string, the reason in Prometheus' words, when it is none.
 */
export function readNumber(text: string): number | string {
  const lower = text.toLowerCase();
  if (lower === "inf" || lower === "+inf") return Number.POSITIVE_INFINITY;
  if (lower === "nan") return Number.NaN;
  const invalid = `error parsing number: strconv.ParseFloat: parsing ${quoteString(text)}: invalid syntax`;
  if (text.includes("_") && UNDERSCORES_MISPLACED.test(text)) return invalid;
  const digits = lower.replaceAll("_", "");
  if (digits.startsWith("0x")) {
    // Hexadecimal floats need a binary exponent, which the lexer does not know.
    if (!/^0x[0-9a-f]+$/.test(digits)) return invalid;
    const value = BigInt(digits);
    return value <= INT64_MAX ? Number(value) : invalid;
  }
  if (/^0[0-7]+$/.test(digits)) {
    const value = BigInt(`0o${digits}`);
    if (value <= INT64_MAX) return Number(value);
  }
  if (!DECIMAL.test(digits)) return invalid;
  const value = Number(digits);
  if (Number.isFinite(value)) return value;
  return `error parsing number: strconv.ParseFloat: parsing ${quoteString(text)}: value out of range`;
}

const SIMPLE_ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 };

/** The value of a quoted string that the lexer accepted. `\x` and octal escapes are bytes of UTF-8. */
export function readString(quoted: string): string {
  const inner = quoted.slice(1, -1);
  if (quoted[0] === "`" || !inner.includes("\\")) return inner;
  let out = "";
  // Bytes of \x and octal escapes, held back until something else follows: together they may form one character.
  let bytes: number[] = [];
  const flush = () => {
    out += decodeBytes(bytes);
    bytes = [];
  };
  for (const match of inner.matchAll(/\\(?:x(..)|u(.{4})|U(.{8})|([0-7]{3})|(.))|[^\\]+/gsu)) {
    const [plain, hex, short, long, octal, simple] = match;
    if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else {
      flush();
      if (short !== undefined || long !== undefined) out += String.fromCodePoint(Number.parseInt((short ?? long)!, 16));
      else if (simple !== undefined) {
        const code = SIMPLE_ESCAPES[simple];
        out += code === undefined ? simple : String.fromCharCode(code);
      } else out += plain;
    }
  }
  flush();
  return out;
}

/** UTF-8 to text; every byte that belongs to no character becomes U+DC00 + byte. */
function decodeBytes(bytes: readonly number[]): string {
  let out = "";
  for (let i = 0; i < bytes.length; ) {
    const length = Math.max(1, utf8Length(bytes[i]!));
    const character = Buffer.from(bytes.slice(i, i + length)).toString("utf8");
    // Whatever is malformed decodes to replacement characters; a proper one takes exactly three bytes, EF BF BD.
    const proper =
      character.length > 0 && (!character.includes("\uFFFD") || (character.length === 1 && isReplacement(bytes, i)));
    out += proper ? character : String.fromCharCode(0xdc00 + bytes[i]!);
    i += proper ? length : 1;
  }
  return out;
}

/** Length of the character that a byte begins; 0 for one that begins none. */
function utf8Length(byte: number): number {
  if (byte < 0x80) return 1;
  if (byte < 0xc2) return 0;
  if (byte < 0xe0) return 2;
  if (byte < 0xf0) return 3;
  return byte < 0xf5 ? 4 : 0;
}

function isReplacement(bytes: readonly number[], at: number): boolean {
  return bytes[at] === 0xef && bytes[at + 1] === 0xbf && bytes[at + 2] === 0xbd;
}

/** Whether a text is free of bytes that are no UTF-8 (see the file header). */
export function isValidUtf8(text: string): boolean {
  return !/[\ud800-\udfff]/u.test(text);
}

/** Whether a label may have the name: any text but the empty one, in valid UTF-8. */
export function isValidLabelName(name: string): boolean {
  return name !== "" && isValidUtf8(name);
}
