// libs/kernel/assembly/lib/head-arena.ts: memory for everything that grows: slots of 32 sizes with free lists, and
// sealed chunks of exact size. Both take pages of PAGE_BYTES from one bump pointer; pages are never given back.
// Address 0 means "no memory left"; nothing has changed then.
import {
  ARENA_END, ARENA_NEXT, CLASS_TABLE, CONTROL, PAGE_BYTES, SEALED_END, SEALED_NEXT, setWord, word,
} from "./head-layout";

/** Classes 0–15: 16 to 256 bytes; 16–29: 320 to 1152; then 4096 and 16384. */
export const CLASS_QUARTER: u32 = 30;
export const CLASS_PAGE: u32 = 31;

/** The smallest class with slots of at least `size` bytes, 1 ≤ size ≤ 1152. */
export function classOf(size: u32): u32 {
  return size <= 256 ? ((size + 15) >> 4) - 1 : 16 + ((size - 257) >> 6);
}

export function classBytes(c: u32): u32 {
  if (c < 16) return (c + 1) << 4;
  if (c < CLASS_QUARTER) return 256 + ((c - 15) << 6);
  return c == CLASS_QUARTER ? 4096 : 16384;
}

function takePage(): u32 {
  const page = word(ARENA_NEXT);
  if (page + PAGE_BYTES > word(ARENA_END)) return 0;
  setWord(ARENA_NEXT, page + PAGE_BYTES);
  return page;
}

/** A slot of class c; its bytes are those of its last use. */
export function takeSlot(c: u32): usize {
  const entry = CONTROL + CLASS_TABLE + (<usize>c << 4);
  const free = load<u32>(entry);
  if (free != 0) {
    store<u32>(entry, load<u32>(free));
    store<u32>(entry, load<u32>(entry, 12) + 1, 12);
    return free;
  }
  const size = classBytes(c);
  let next = load<u32>(entry, 4);
  if (next + size > load<u32>(entry, 8)) {
    next = takePage();
    if (next == 0) return 0;
    store<u32>(entry, next + PAGE_BYTES, 8);
  }
  store<u32>(entry, next + size, 4);
  store<u32>(entry, load<u32>(entry, 12) + 1, 12);
  return next;
}

export function freeSlot(slot: usize, c: u32): void {
  const entry = CONTROL + CLASS_TABLE + (<usize>c << 4);
  store<u32>(slot, load<u32>(entry));
  store<u32>(entry, <u32>slot);
  store<u32>(entry, load<u32>(entry, 12) - 1, 12);
}

/** `size` bytes for ever, aligned to 4. */
export function takeSealed(size: u32): usize {
  let next = word(SEALED_NEXT);
  const bytes = (size + 3) & ~3;
  if (next + bytes > word(SEALED_END)) {
    next = takePage();
    if (next == 0) return 0;
    setWord(SEALED_END, next + PAGE_BYTES);
  }
  setWord(SEALED_NEXT, next + bytes);
  return next;
}
