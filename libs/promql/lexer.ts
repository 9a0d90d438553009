// libs/promql/lexer.ts: query text to tokens, one at a time.
// A query of 1 MiB passes here once: every character is looked at a bounded number of times.
// Which tokens exist depends on where the lexer stands: inside braces keywords are plain identifiers, inside brackets
// only durations and their arithmetic exist. Offsets are UTF-16; byteOffset turns them into UTF-8 byte offsets.
import { ParseError } from "./parse-error.ts";
import { describeCharacter, quoteCharacter, quoteString } from "./quote.ts";
import { KEYWORDS, type Token, type TokenType } from "./tokens.ts";

const NON_ASCII = /[^\x00-\x7f]/;
const DURATION_WORDS: ReadonlyMap<string, TokenType> = new Map<string, TokenType>([
  ["step", "step"],
  ["range", "range"],
  ["max_of", "max_of"],
  ["min_of", "min_of"],
]);
const END = -1;

export class Lexer {
  readonly text: string;
  private at = 0;
  /** Where the token being read begins, which is also where an error in it is reported. */
  private start = 0;
  private parenDepth = 0;
  private inBraces = false;
  private inBrackets = false;
  /** Just behind `[`, before the first number: the strictest set of characters. */
  private durationOnly = false;
  private sawColon = false;
  private sawDuration = false;
  /** UTF-8 offset of each UTF-16 offset; null for ASCII text, where both are the same. */
  private readonly byteOffsets: Uint32Array | null;

  constructor(text: string) {
    this.text = text;
    this.byteOffsets = NON_ASCII.test(text) ? measureBytes(text) : null;
  }

  /** The UTF-8 byte offset of a UTF-16 offset. */
  byteOffset(offset: number): number {
    return this.byteOffsets === null ? offset : this.byteOffsets[offset]!;
  }

  /** The next token; comments and space are skipped. At the end it answers "end of input" again and again. Errors: ParseError. */
  next(): Token {
    this.skipSpaceAndComments();
    this.start = this.at;
    if (this.durationOnly) return this.readInDuration();
    return this.inBraces ? this.readInBraces() : this.readStatement();
  }

  private skipSpaceAndComments(): void {
    const { text } = this;
    for (;;) {
      const c = text.charCodeAt(this.at);
      if (isSpace(c)) this.at++;
      else if (c === 0x23 && !this.durationOnly) {
        // `#` to the end of the line.
        while (this.at < text.length && !isLineEnd(text.charCodeAt(this.at))) this.at++;
      } else return;
    }
  }

  /** Fails at `start`, by default where the current token begins. */
  private fail(reason: string, start = this.start): never {
    throw new ParseError(this.text, { start: this.byteOffset(start), end: this.byteOffset(this.text.length) }, reason);
  }

  private code(offset = this.at): number {
    return offset < this.text.length ? this.text.charCodeAt(offset) : END;
  }

  /** The whole character at an offset, "" at the end of the text. */
  private character(offset: number): string {
    if (offset >= this.text.length) return "";
    return String.fromCodePoint(this.text.codePointAt(offset)!);
  }

  private take(type: TokenType, length: number): Token {
    this.at = this.start + length;
    return { type, start: this.start, end: this.at };
  }

  private readStatement(): Token {
    const c = this.code();
    const following = this.code(this.at + 1);
    if (isDigit(c) || (c === 0x2e && isDigit(following))) return this.readNumberOrDuration();
    if (isAlpha(c) || c === 0x3a) return this.inBrackets ? this.readWordInBrackets(c) : this.readWord();
    switch (c) {
      case END:
        if (this.parenDepth !== 0) this.fail("unclosed left parenthesis");
        if (this.inBrackets) this.fail("unclosed left bracket");
        return this.take("end of input", 0);
      case 0x2c:
        return this.take(",", 1);
      case 0x3d: // =
        if (following === 0x7e) this.fail("unexpected character after '=': '~'");
        return following === 0x3d ? this.take("==", 2) : this.take("=", 1);
      case 0x21: // !
        if (following !== 0x3d) {
          this.fail(`unexpected character after '!': ${quoteCharacter(this.character(this.at + 1))}`);
        }
        return this.take("!=", 2);
      case 0x3c: // <
        if (following === 0x3d) return this.take("<=", 2);
        return following === 0x2f ? this.take("</", 2) : this.take("<", 1);
      case 0x3e: // >
        if (following === 0x3d) return this.take(">=", 2);
        return following === 0x2f ? this.take(">/", 2) : this.take(">", 1);
      case 0x22:
      case 0x27:
        return this.readString(c);
      case 0x60:
        return this.readRawString();
      case 0x40:
        return this.take("@", 1);
      case 0x7b: // {
        this.inBraces = true;
        return this.take("{", 1);
      case 0x5b: // [
        if (this.inBrackets) this.fail("unexpected left bracket '['");
        this.inBrackets = true;
        this.durationOnly = true;
        this.sawColon = false;
        return this.take("[", 1);
      case 0x5d: // ]
        if (!this.inBrackets) this.fail("unexpected right bracket ']'");
        this.inBrackets = false;
        return this.take("]", 1);
    }
    return this.readArithmeticSign(c) ?? this.fail(`unexpected character: ${quoteCharacter(this.character(this.at))}`);
  }

  /** Signs that mean the same inside and outside of brackets. */
  private readArithmeticSign(c: number): Token | undefined {
    switch (c) {
      case 0x2a:
        return this.take("*", 1);
      case 0x2f:
        return this.take("/", 1);
      case 0x25:
        return this.take("%", 1);
      case 0x2b:
        return this.take("+", 1);
      case 0x2d:
        return this.take("-", 1);
      case 0x5e:
        return this.take("^", 1);
      case 0x28:
        this.parenDepth++;
        return this.take("(", 1);
      case 0x29:
        if (--this.parenDepth < 0) this.fail("unexpected right parenthesis ')'", this.at + 1);
        return this.take(")", 1);
    }
    return undefined;
  }

  /** Behind a number inside brackets: the colon of a subquery, or a word that stands for a duration. */
  private readWordInBrackets(c: number): Token {
    if (c === 0x3a) {
      if (this.sawColon) this.fail("unexpected colon ':'");
      this.sawColon = true;
      return this.take(":", 1);
    }
    return (
      this.readDurationWord() ??
      this.fail(`unexpected character: ${quoteCharacter(String.fromCharCode(c))}, expected ':'`)
    );
  }

  private readDurationWord(): Token | undefined {
    let end = this.at;
    while (isAlpha(this.code(end))) end++;
    const type = DURATION_WORDS.get(this.text.slice(this.at, end).toLowerCase());
    return type === undefined ? undefined : this.take(type, end - this.at);
  }

  private readInDuration(): Token {
    const c = this.code();
    if (isDigit(c) || (c === 0x2e && isDigit(this.code(this.at + 1)))) {
      this.sawDuration = true;
      this.durationOnly = false;
      return this.readNumberOrDuration();
    }
    switch (c) {
      case END:
        return this.fail("unexpected end of input in duration expression");
      case 0x5d:
        this.durationOnly = false;
        this.inBrackets = false;
        this.sawColon = false;
        return this.take("]", 1);
      case 0x3a:
        if (!this.sawDuration) this.fail("unexpected colon before duration in duration expression", this.at + 1);
        if (this.sawColon) this.fail("unexpected repeated colon in duration expression", this.at + 1);
        this.sawColon = true;
        return this.take(":", 1);
      case 0x2c:
        return this.take(",", 1);
    }
    return (
      this.readArithmeticSign(c) ??
      this.readDurationWord() ??
      this.fail(`unexpected character in duration expression: ${quoteCharacter(this.character(this.at))}`)
    );
  }

  private readInBraces(): Token {
    const c = this.code();
    if (isAlpha(c)) {
      let end = this.at + 1;
      while (isAlphaNumeric(this.code(end))) end++;
      return this.take("identifier", end - this.at);
    }
    const following = this.code(this.at + 1);
    switch (c) {
      case END:
        return this.fail("unexpected end of input inside braces");
      case 0x2c:
        return this.take(",", 1);
      case 0x22:
      case 0x27:
        return this.readString(c);
      case 0x60:
        return this.readRawString();
      case 0x3d:
        return following === 0x7e ? this.take("=~", 2) : this.take("=", 1);
      case 0x21:
        if (following === 0x7e) return this.take("!~", 2);
        if (following === 0x3d) return this.take("!=", 2);
        return this.fail(
          `unexpected character after '!' inside braces: ${quoteCharacter(this.character(this.at + 1))}`,
        );
      case 0x7b:
        return this.fail("unexpected left brace '{'");
      case 0x7d:
        this.inBraces = false;
        return this.take("}", 1);
    }
    return this.fail(`unexpected character inside braces: ${quoteCharacter(this.character(this.at))}`);
  }

  private readWord(): Token {
    let end = this.at;
    let colon = false;
    for (let c = this.code(end); isAlphaNumeric(c) || c === 0x3a; c = this.code(++end)) colon ||= c === 0x3a;
    const length = end - this.at;
    if (colon) return this.take("metric identifier", length);
    const type = KEYWORDS.get(this.text.slice(this.at, end).toLowerCase());
    if (type === undefined) return this.take("identifier", length);
    // The fill modifiers came late: elsewhere than before a parenthesis their names stay free for metrics.
    if ((type === "fill" || type === "fill_left" || type === "fill_right") && !this.parenthesisFollows(end)) {
      return this.take("identifier", length);
    }
    return this.take(type, length);
  }

  private parenthesisFollows(offset: number): boolean {
    let i = offset;
    while (isSpace(this.code(i))) i++;
    return this.code(i) === 0x28;
  }

  private readString(quote: number): Token {
    const { text } = this;
    this.at++;
    for (;;) {
      const c = this.code();
      if (c === quote) return this.take("string", this.at + 1 - this.start);
      if (c === END || c === 0x0a) this.fail("unterminated quoted string");
      if (c === 0x5c) this.skipEscape(quote);
      else this.at += c < 0x80 ? 1 : characterLength(text, this.at, this);
    }
  }

  private readRawString(): Token {
    const { text } = this;
    this.at++;
    for (;;) {
      const c = this.code();
      if (c === 0x60) return this.take("string", this.at + 1 - this.start);
      if (c === END) this.fail("unterminated raw string");
      this.at += c < 0x80 ? 1 : characterLength(text, this.at, this);
    }
  }

  /** Reports a character that is not valid UTF-8 (an unpaired surrogate, or the replacement character of a decoder). */
  failInvalidCharacter(): never {
    return this.fail("invalid UTF-8 rune");
  }

  /** Steps over `\…`, checking it. */
  private skipEscape(quote: number): void {
    const kind = this.code(this.at + 1);
    if (kind === END) this.fail("escape sequence not terminated");
    if (kind === quote || isSimpleEscape(kind)) {
      this.at += 2;
      return;
    }
    const count = escapeDigits(kind);
    if (count === 0) this.fail(`unknown escape sequence ${describeCharacter(this.character(this.at + 1))}`);
    // An octal escape has no letter in front of its digits.
    const digits = count === 3 ? this.at + 1 : this.at + 2;
    const base = count === 3 ? 8 : 16;
    let value = 0;
    for (let i = digits; i < digits + count; i++) {
      const digit = digitValue(this.code(i));
      if (digit >= base) {
        if (this.code(i) === END) this.fail("escape sequence not terminated");
        this.fail(`illegal character ${describeCharacter(this.character(i))} in escape sequence`);
      }
      value = value * base + digit;
    }
    const valueMax = count <= 3 ? 255 : 0x10ffff;
    if (value > valueMax || (value >= 0xd800 && value < 0xe000)) {
      this.fail("escape sequence is an invalid Unicode code point");
    }
    this.at = digits + count;
  }

  private readNumberOrDuration(): Token {
    if (this.scanNumber()) return this.take("number", this.at - this.start);
    if (this.scanDurationRest()) return this.take("duration", this.at - this.start);
    return this.fail(`bad number or duration syntax: ${quoteString(this.text.slice(this.start, this.at))}`);
  }

  private accept(accepted: (c: number) => boolean): boolean {
    if (!accepted(this.code())) return false;
    this.at++;
    return true;
  }

  /**
   * Moves over a number: decimal, hexadecimal, with underscores, fraction, exponent. Where the text stops being a
   * number it answers false and stays behind what it read, because the message shows exactly that much.
   */
  private scanNumber(): boolean {
    let digit = isDigit;
    if (this.code() === 0x30) {
      this.at++;
      const c = this.code();
      if (c === 0x78 || c === 0x58) {
        this.at++;
        this.accept(isUnderscore);
        digit = isHexDigit;
      }
    }
    this.accept(isDot);
    this.accept(digit);
    let dot = false;
    let exponent = false;
    for (;;) {
      const c = this.code();
      if (digit(c)) {
        // In hexadecimal "e" is a digit, yet two of them at such a place are refused like two exponents.
        if (isExponent(c)) {
          if (exponent) {
            this.at++;
            return false;
          }
          exponent = true;
          this.at++;
          this.accept(isSign);
          if (this.accept(notAfterUnderscore) || this.code() === END) return false;
          continue;
        }
        while (this.accept(digit));
      } else if (isDot(c)) {
        this.at++;
        if (dot || this.accept(notAfterDot) || digit === isHexDigit) return false;
        dot = true;
      } else if (isExponent(c)) {
        this.at++;
        if (exponent) return false;
        exponent = true;
        this.accept(isSign);
        if (this.accept(notAfterUnderscore) || this.code() === END) return false;
      } else if (isUnderscore(c)) {
        this.at++;
        if (this.accept(notAfterUnderscore) || this.code() === END) return false;
      } else break;
    }
    return !isAlphaNumeric(this.code());
  }

  /** Behind the first number of what may be a duration: its unit, and further numbers with units. */
  private scanDurationRest(): boolean {
    if (!this.accept(isFirstUnit)) return false;
    this.accept(isSecond);
    while (this.accept(isDigit)) {
      while (this.accept(isDigit));
      if (!this.accept(isLaterUnit)) return false;
      this.accept(isSecond);
    }
    if (!isAlphaNumeric(this.code())) return true;
    this.at++;
    return false;
  }
}

function measureBytes(text: string): Uint32Array {
  const offsets = new Uint32Array(text.length + 1);
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    offsets[i] = bytes;
    const c = text.charCodeAt(i);
    if (c < 0x80) bytes += 1;
    else if (c < 0x800) bytes += 2;
    else if (c >= 0xd800 && c < 0xdc00 && isLowSurrogate(text.charCodeAt(i + 1))) {
      offsets[++i] = bytes;
      bytes += 4;
    } else bytes += 3;
  }
  offsets[text.length] = bytes;
  return offsets;
}

/** UTF-16 length of the non-ASCII character at an offset. */
function characterLength(text: string, offset: number, lexer: Lexer): number {
  const code = text.codePointAt(offset)!;
  if (code === 0xfffd || (code >= 0xd800 && code <= 0xdfff)) lexer.failInvalidCharacter();
  return code > 0xffff ? 2 : 1;
}

const isSpace = (c: number) => c === 0x20 || c === 0x09 || c === 0x0a || c === 0x0d;
const isLineEnd = (c: number) => c === 0x0a || c === 0x0d;
const isDigit = (c: number) => c >= 0x30 && c <= 0x39;
const isHexDigit = (c: number) => isDigit(c) || (c >= 0x61 && c <= 0x66) || (c >= 0x41 && c <= 0x46);
const isAlpha = (c: number) => (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a) || c === 0x5f;
const isAlphaNumeric = (c: number) => isAlpha(c) || isDigit(c);
const isUnderscore = (c: number) => c === 0x5f;
const isDot = (c: number) => c === 0x2e;
const isSign = (c: number) => c === 0x2b || c === 0x2d;
const isExponent = (c: number) => c === 0x65 || c === 0x45;
const notAfterDot = (c: number) => c === 0x5f || c === 0x2e;
const notAfterUnderscore = (c: number) => notAfterDot(c) || isExponent(c);
const isSecond = (c: number) => c === 0x73;
const isLaterUnit = (c: number) => c === 0x73 || c === 0x6d || c === 0x68 || c === 0x64 || c === 0x77;
const isFirstUnit = (c: number) => isLaterUnit(c) || c === 0x79;
const isLowSurrogate = (c: number) => c >= 0xdc00 && c <= 0xdfff;
/** a b f n r t v and the backslash. */
const isSimpleEscape = (c: number) =>
  c === 0x61 || c === 0x62 || c === 0x66 || c === 0x6e || c === 0x72 || c === 0x74 || c === 0x76 || c === 0x5c;

/** How many digits follow the letter of an escape; 0 for letters that begin none. */
function escapeDigits(kind: number): number {
  if (kind === 0x78) return 2;
  if (kind === 0x75) return 4;
  if (kind === 0x55) return 8;
  return kind >= 0x30 && kind <= 0x37 ? 3 : 0;
}

function digitValue(c: number): number {
  if (isDigit(c)) return c - 0x30;
  if (c >= 0x61 && c <= 0x66) return c - 0x57;
  return c >= 0x41 && c <= 0x46 ? c - 0x37 : 16;
}
