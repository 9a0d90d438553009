// libs/kernel/assembly/lib/wire.ts: protobuf's wire format, read with every length checked. What a read leaves behind is in `next` (where to go on)
// and `problem` (0, or why the message is malformed).
import { WIRE_GROUP, WIRE_TAG, WIRE_TRUNCATED, WIRE_TYPE, WIRE_VARINT } from "./codes";

export const VARINT: u32 = 0;
export const FIXED64: u32 = 1;
export const BYTES: u32 = 2;
export const GROUP: u32 = 3;
export const GROUP_END: u32 = 4;
export const FIXED32: u32 = 5;

export let next: usize = 0;
export let problem: i32 = 0;

export function clearProblem(): void {
  problem = 0;
}

/** Says where to go on after a field whose end the caller knows. */
// @ts-ignore: decorator
@inline
export function setNext(p: usize): void {
  next = p;
}

/** A varint of at most 64 bits in [p, end). */
export function readVarint(p: usize, end: usize): u64 {
  let value: u64 = 0;
  for (let shift: u32 = 0; ; shift += 7) {
    if (p >= end) {
      problem = WIRE_TRUNCATED;
      return 0;
    }
    const byte = <u64>load<u8>(p++);
    if (shift == 63 && byte > 1) {
      problem = WIRE_VARINT;
      return 0;
    }
    value |= (byte & 127) << shift;
    if (byte < 128) break;
  }
  next = p;
  return value;
}

/** A field's tag: number × 8 + wire type. */
export function readTag(p: usize, end: usize): u32 {
  const tag = readVarint(p, end);
  if (problem == 0 && (tag >> 32 != 0 || tag < 8)) problem = WIRE_TAG;
  return <u32>tag;
}

/** The length of a bytes field; `next` is where its bytes begin, and they end within [p, end). */
export function readLength(p: usize, end: usize): u32 {
  const length = readVarint(p, end);
  if (problem == 0 && length > <u64>(end - next)) problem = WIRE_TRUNCATED;
  return <u32>length;
}

function skipFlat(p: usize, end: usize, wire: u32): void {
  if (wire == VARINT) {
    readVarint(p, end);
  } else if (wire == BYTES) {
    const length = <usize>readLength(p, end);
    next = next + length;
  } else {
    const size: usize = wire == FIXED64 ? 8 : 4;
    if (size > end - p) problem = WIRE_TRUNCATED;
    next = p + size;
  }
}

/** Skips the field whose tag ends at p. Groups are skipped by counting, without recursion. */
export function skipField(p: usize, end: usize, tag: u32): void {
  let depth: u32 = 0;
  next = p;
  for (;;) {
    const wire = tag & 7;
    if (wire > FIXED32) problem = WIRE_TYPE;
    else if (wire == GROUP) depth++;
    else if (wire != GROUP_END) skipFlat(next, end, wire);
    else if (depth-- == 0) problem = WIRE_GROUP;
    if (problem != 0 || depth == 0) return;
    tag = readTag(next, end);
    if (problem != 0) return;
  }
}
