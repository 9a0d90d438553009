// libs/kernel/assembly/lib/snappy.ts: decoder of the snappy block format (google/snappy, format_description.txt).
// HOT: bytes move 16 at a time; every length and offset is checked first. Input and output need 128 B of slack behind them.
import { SNAPPY_LENGTH, SNAPPY_OFFSET, SNAPPY_OVERRUN, SNAPPY_SHORT, SNAPPY_TOO_LONG, SNAPPY_TRUNCATED } from "./codes";

/** The length that the block says it decodes to, or SNAPPY_LENGTH. */
export function snappyDeclaredLength(src: usize, srcLen: u32): f64 {
  let value: u64 = 0;
  for (let i: u32 = 0; i < min<u32>(srcLen, 5); i++) {
    const byte = load<u8>(src + i);
    value |= u64(byte & 127) << (i * 7);
    if (byte < 128) return value >> 32 == 0 ? f64(value) : f64(SNAPPY_LENGTH);
  }
  return f64(SNAPPY_LENGTH);
}

/** Repeats the `offset` < 16 bytes before op. Each round doubles the distance, until 16-byte steps are safe. */
function copyPattern(op: usize, offset: u32, length: u32): void {
  const end = op + length;
  const from = op - offset;
  while (op - from < 16) {
    v128.store(op, v128.load(from));
    op += op - from;
  }
  for (let at = from; op < end; op += 16, at += 16) v128.store(op, v128.load(at));
}

/**
 * Decodes one block. Returns the number of bytes written, or a negative code. Nothing is written beyond
 * dst + dstCap + 64, nothing is read beyond src + srcLen + 64.
 */
export function snappyDecode(src: usize, srcLen: u32, dst: usize, dstCap: u32): i32 {
  const declared = snappyDeclaredLength(src, srcLen);
  if (declared < 0) return SNAPPY_LENGTH;
  if (declared > f64(dstCap)) return SNAPPY_TOO_LONG;
  const ipEnd = src + srcLen;
  const opEnd = dst + u32(declared);
  let ip = src;
  while (load<u8>(ip) > 127) ip++;
  ip++;
  let op = dst;
  while (ip < ipEnd) {
    const tag = <u32>load<u8>(ip);
    let length = (tag >> 2) + 1;
    let offset: u32;
    const kind = tag & 3;
    if (kind == 0) {
      ip += 1;
      if (length <= 16) {
        if (length > <u32>(ipEnd - ip)) return SNAPPY_TRUNCATED;
        if (length > <u32>(opEnd - op)) return SNAPPY_OVERRUN;
        v128.store(op, v128.load(ip));
      } else {
        if (length > 60) {
          const extra = length - 60;
          if (extra > <u32>(ipEnd - ip)) return SNAPPY_TRUNCATED;
          const more = <u32>((<u64>load<u32>(ip)) & ((<u64>1 << (extra * 8)) - 1));
          if (more == 0xffff_ffff) return SNAPPY_TRUNCATED;
          length = more + 1;
          ip += extra;
        }
        if (length > <u32>(ipEnd - ip)) return SNAPPY_TRUNCATED;
        if (length > <u32>(opEnd - op)) return SNAPPY_OVERRUN;
        for (let i: u32 = 0; i < length; i += 16) v128.store(op + i, v128.load(ip + i));
      }
      ip += length;
      op += length;
      continue;
    }
    if (kind != 3) {
      // Which of the two kinds comes next can't be predicted: no branch on it.
      const long = kind >> 1;
      if (<u32>(ipEnd - ip) < 2 + long) return SNAPPY_TRUNCATED;
      const raw = <u32>load<u16>(ip, 1);
      length = select<u32>(length, 4 + ((tag >> 2) & 7), long != 0);
      offset = select<u32>(raw, ((tag >> 5) << 8) | (raw & 255), long != 0);
      ip += 2 + long;
    } else {
      if (<u32>(ipEnd - ip) < 5) return SNAPPY_TRUNCATED;
      offset = load<u32>(ip, 1);
      ip += 5;
    }
    if (offset - 1 >= <u32>(op - dst)) return SNAPPY_OFFSET;
    if (length > <u32>(opEnd - op)) return SNAPPY_OVERRUN;
    if (offset >= 16) {
      const from = op - offset;
      v128.store(op, v128.load(from));
      v128.store(op, v128.load(from, 16), 16);
      if (length > 32) {
        v128.store(op, v128.load(from, 32), 32);
        v128.store(op, v128.load(from, 48), 48);
      }
    } else copyPattern(op, offset, length);
    op += length;
  }
  return op == opEnd ? <i32>(op - dst) : SNAPPY_SHORT;
}
