// libs/kernel/ingest-codes.ts: the ingest kernel's negative results in words. Mirrors assembly/lib/codes.ts.

const FULL_ARENA = -48;
const FULL_TABLE = -49;

const SENTENCES: Readonly<Record<number, string>> = {
  [-1]: "got no valid length at its beginning; want a snappy block",
  [-2]: "got a declared length beyond the limit; want a smaller request",
  [-3]: "got a snappy block that ends within a literal or a copy; want it whole",
  [-4]: "got more bytes than the snappy block declares; want the declared length",
  [-5]: "got a snappy copy from before the beginning; want an offset within the output",
  [-6]: "got fewer bytes than the snappy block declares; want the declared length",
  [-16]: "got a field that ends beyond its message; want well-formed protobuf",
  [-17]: "got a varint of more than 64 bits; want well-formed protobuf",
  [-18]: "got a wrong wire type; want well-formed protobuf of the declared message",
  [-19]: "got a field number that doesn't exist; want well-formed protobuf",
  [-20]: "got the end of a group that never began; want well-formed protobuf",
  [-32]: "got more series than one request may hold; want smaller requests",
  [-33]: "got more samples than one request may hold; want smaller requests",
  [-34]: "got more symbols than one request may hold; want smaller requests",
  [-35]: "got labels that take too much memory written out; want smaller requests",
  [-36]: "got more metadata entries than one request may hold; want smaller requests",
};

/** "got …; want …" for a code of the snappy and walk stages. */
export function describeCode(code: number): string {
  return SENTENCES[code] ?? `got kernel code ${code}; want a known one`;
}

/** Whether the code says that the message is malformed, so that an offset goes with it. */
export function isMalformed(code: number): boolean {
  return code <= -16 && code > -32;
}

/** Whether `remember` found no room, in the arena or in the table. */
export function isFull(code: number): boolean {
  return code === FULL_ARENA || code === FULL_TABLE;
}

/** Whether `remember` wants a bigger table. */
export function isTableFull(code: number): boolean {
  return code === FULL_TABLE;
}
