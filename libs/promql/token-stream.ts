// libs/promql/token-stream.ts: one token of look-ahead over a query, and the errors of a parse.
// A token is read only when it is needed: Prometheus' parser works that way, and which of two errors in a text comes
// first, the lexer's or the parser's, depends on it.
import { compileMatcher, InvalidError } from "../model/index.ts";
import type { Position, VectorSelector } from "./ast.ts";
import { Lexer } from "./lexer.ts";
import { NESTING_MAX, type ParserOptions, QUERY_REGEX_LENGTH_MAX } from "./options.ts";
import { ParseError } from "./parse-error.ts";
import { describeToken, type Token, type TokenType } from "./tokens.ts";

/** A node still under construction. Nodes become immutable when the parser hands them out. */
export type Draft<T> = { -readonly [K in keyof T]: T[K] };

/** What an "unexpected" message says about the place: `in <where>, expected <what>`. */
export interface Expectation {
  readonly where: string;
  readonly what: string;
}

export class TokenStream {
  readonly text: string;
  readonly options: ParserOptions;
  private readonly lexer: Lexer;
  private ahead: Token | null = null;
  /** UTF-16 offset behind the last token taken. */
  private taken = 0;
  private depth = 0;
  /** Aggregations whose end has not been read yet; inside of one, messages say so. */
  private aggregations = 0;
  /** Regular expressions of the query so far, and whether each matches the empty text. */
  private readonly regexes = new Map<string, boolean>();
  private regexLength = 0;
  /** Selectors without a matcher that would refuse a series without labels. Only info() may have them. */
  readonly emptySelectors = new Set<VectorSelector>();

  constructor(text: string, options: ParserOptions) {
    this.text = text;
    this.options = options;
    this.lexer = new Lexer(text);
  }

  peek(): Token {
    this.ahead ??= this.lexer.next();
    return this.ahead;
  }

  /** The type of the next token. */
  type(): TokenType {
    return this.peek().type;
  }

  next(): Token {
    const token = this.peek();
    this.ahead = null;
    this.taken = token.end;
    return token;
  }

  /** Takes the next token when it is of the type. */
  take(type: TokenType): Token | undefined {
    return this.peek().type === type ? this.next() : undefined;
  }

  /** Takes the next token, which has to be of the type. */
  expect(type: TokenType, expectation?: Expectation): Token {
    return this.peek().type === type ? this.next() : this.unexpected(expectation);
  }

  written(token: Token): string {
    return this.text.slice(token.start, token.end);
  }

  /** Byte offset behind the last token taken. */
  takenEnd(): number {
    return this.lexer.byteOffset(this.taken);
  }

  /** The UTF-8 byte offset of a UTF-16 offset into the text. */
  byteOffset(offset: number): number {
    return this.lexer.byteOffset(offset);
  }

  position(token: Token): Position {
    return { start: this.lexer.byteOffset(token.start), end: this.lexer.byteOffset(token.end) };
  }

  /** From the first byte of one token to the last byte of another. */
  span(first: Token, last: Token): Position {
    return { start: this.lexer.byteOffset(first.start), end: this.lexer.byteOffset(last.end) };
  }

  fail(pos: Position, reason: string): never {
    throw new ParseError(this.text, pos, reason);
  }

  /** Fails at the next token. Without an expectation the message names only an enclosing aggregation. */
  unexpected(expectation?: Expectation): never {
    const token = this.peek();
    let reason = `unexpected ${describeToken(token, this.text)}`;
    if (expectation !== undefined) reason += ` in ${expectation.where}, expected ${expectation.what}`;
    else if (this.aggregations > 0) reason += " in aggregation";
    return this.fail(this.position(token), reason);
  }

  /** Checks a regular expression once; answers whether it matches the empty text. Errors: ParseError at `pos`. */
  checkRegex(pattern: string, pos: Position): boolean {
    const known = this.regexes.get(pattern);
    if (known !== undefined) return known;
    this.regexLength += pattern.length;
    if (this.regexLength > QUERY_REGEX_LENGTH_MAX) {
      const max = `${QUERY_REGEX_LENGTH_MAX} characters of regular expressions`;
      this.fail(pos, `cannot parse query: got more than ${max}; want at most that many`);
    }
    try {
      const { matchesEmpty } = compileMatcher({ type: "=~", name: "", value: pattern });
      this.regexes.set(pattern, matchesEmpty);
      return matchesEmpty;
    } catch (error) {
      if (error instanceof InvalidError) this.fail(pos, error.message);
      throw error;
    }
  }

  enterAggregation(): void {
    this.aggregations++;
  }

  leaveAggregation(): void {
    this.aggregations--;
  }

  /** Counts one level of nesting. Errors: ParseError beyond NESTING_MAX, long before the call stack is in danger. */
  descend(): void {
    if (++this.depth <= NESTING_MAX) return;
    this.fail(
      this.position(this.peek()),
      `cannot parse expression: got more than ${NESTING_MAX} nested levels; want at most ${NESTING_MAX}`,
    );
  }

  ascend(): void {
    this.depth--;
  }
}
