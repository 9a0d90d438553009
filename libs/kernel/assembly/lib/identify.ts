// libs/kernel/assembly/lib/identify.ts: rows → sids where the walk could not tell: a predictor pass (remote write 2.0, whose label bytes are
// made by the walk), then batch passes over what is left.
// HOT: one pass per column (hash all, probe all, verify all), so that cache misses of different series overlap.
import { equalBytes } from "./bytes";
import { findForm, formAt, isForm } from "./forms";
import { labelTag } from "./hash";
import {
  FORMS_ARENA, FORMS_BITS, FORMS_EPOCH, FORMS_KEYS, FORMS_ROUNDS, FORMS_SEEN, FORMS_TABLE, FORM_BYTES, FORM_LENGTH, FORM_NEXT, FORM_SID, FORM_TENANT,
  IO_CANDIDATES, IO_ROWS, IO_SERIES, IO_TAGS, IO_UNRESOLVED, IO_UNRESOLVED_COUNT, ROW,
} from "./layout";
import { arena, beginPrediction, endPrediction, expected, follow, recover } from "./predict";

/** Of every so many batch passes one teaches the predictor the order it saw: a new order is learned, chaos costs little. */
const TEACH_EVERY: u32 = 4;

/** Gives every row its sid by prediction; lists the rows that stay unknown. */
export function predictRows(forms: usize, tenant: u32, io: usize): void {
  beginPrediction(forms);
  const unresolved = <usize>load<u32>(io, IO_UNRESOLVED);
  const count = load<u32>(io, IO_SERIES);
  let row = <usize>load<u32>(io, IO_ROWS);
  let left: u32 = 0;
  for (let i: u32 = 0; i < count; i++, row += ROW) {
    const p = <usize>load<u32>(row);
    const n = load<u32>(row, 4);
    let sid: u32;
    if (expected != 0 && isForm(formAt(arena, expected), tenant, p, n)) sid = follow(expected);
    else sid = recover(forms, tenant, p, n);
    store<u32>(row, sid, 12);
    if (sid == 0) {
      store<u32>(unresolved + (<usize>left << 2), i);
      left++;
    }
  }
  store<u32>(io, left, IO_UNRESOLVED_COUNT);
  endPrediction(forms);
}

/** Looks up the unresolved rows. Rows that no form knows stay in the list. Returns how many. */
export function resolveRows(forms: usize, tenant: u32, io: usize): u32 {
  const unresolved = <usize>load<u32>(io, IO_UNRESOLVED);
  const count = load<u32>(io, IO_UNRESOLVED_COUNT);
  const rows = <usize>load<u32>(io, IO_ROWS);
  const tags = <usize>load<u32>(io, IO_TAGS);
  const candidates = <usize>load<u32>(io, IO_CANDIDATES);
  const keys = <usize>load<u32>(forms, FORMS_KEYS);
  for (let i: u32 = 0; i < count; i++) {
    const row = rows + <usize>load<u32>(unresolved + (<usize>i << 2)) * ROW;
    store<u32>(tags + (<usize>i << 2), labelTag(keys, <usize>load<u32>(row), load<u32>(row, 4)));
  }
  probe(forms, tags, candidates, count);
  loadHeads(forms, tenant, io, count);
  const left = verify(forms, tenant, io, count);
  store<u32>(io, left, IO_UNRESOLVED_COUNT);
  return left;
}

/** First slot with the same tag on each probe path → candidate form, or 0. */
function probe(forms: usize, tags: usize, candidates: usize, count: u32): void {
  const table = <usize>load<u32>(forms, FORMS_TABLE);
  const bits = load<u32>(forms, FORMS_BITS);
  const mask = (<u32>1 << bits) - 1;
  for (let i: u32 = 0; i < count; i++) {
    const tag = load<u32>(tags + (<usize>i << 2));
    let slot = tag >> (32 - bits);
    let form: u32;
    for (;;) {
      form = load<u32>(table + (<usize>slot << 3));
      if (form == 0 || load<u32>(table + (<usize>slot << 3), 4) == tag) break;
      slot = (slot + 1) & mask;
    }
    store<u32>(candidates + (<usize>i << 2), form);
  }
}

/** Drops candidates of another tenant or length. Touching the records here lets their cache misses overlap. */
function loadHeads(forms: usize, tenant: u32, io: usize, count: u32): void {
  const formsArena = <usize>load<u32>(forms, FORMS_ARENA);
  const unresolved = <usize>load<u32>(io, IO_UNRESOLVED);
  const rows = <usize>load<u32>(io, IO_ROWS);
  const tags = <usize>load<u32>(io, IO_TAGS);
  const candidates = <usize>load<u32>(io, IO_CANDIDATES);
  for (let i: u32 = 0; i < count; i++) {
    const form = load<u32>(candidates + (<usize>i << 2));
    if (form == 0) continue;
    const record = formAt(formsArena, form);
    const row = rows + <usize>load<u32>(unresolved + (<usize>i << 2)) * ROW;
    if (load<u32>(record, FORM_TENANT) == tenant && load<u32>(record, FORM_LENGTH) == load<u32>(row, 4)) continue;
    const other = findForm(forms, tenant, <usize>load<u32>(row), load<u32>(row, 4), load<u32>(tags + (<usize>i << 2)));
    store<u32>(candidates + (<usize>i << 2), other);
  }
}

/** Compares the bytes of row and candidate, gives rows their sids, keeps the unknown ones listed. Returns their number. */
function verify(forms: usize, tenant: u32, io: usize, count: u32): u32 {
  const formsArena = <usize>load<u32>(forms, FORMS_ARENA);
  const seen = <usize>load<u32>(forms, FORMS_SEEN);
  const epoch = <u8>load<u32>(forms, FORMS_EPOCH);
  const unresolved = <usize>load<u32>(io, IO_UNRESOLVED);
  const rows = <usize>load<u32>(io, IO_ROWS);
  const tags = <usize>load<u32>(io, IO_TAGS);
  const candidates = <usize>load<u32>(io, IO_CANDIDATES);
  const rounds = load<u32>(forms, FORMS_ROUNDS);
  store<u32>(forms, rounds + 1, FORMS_ROUNDS);
  const teach = rounds % TEACH_EVERY == 0;
  let before: usize = 0;
  let left: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const index = load<u32>(unresolved + (<usize>i << 2));
    const row = rows + <usize>index * ROW;
    const p = <usize>load<u32>(row);
    const n = load<u32>(row, 4);
    let form = load<u32>(candidates + (<usize>i << 2));
    if (form != 0 && !equalBytes(formAt(formsArena, form) + FORM_BYTES, p, n)) {
      form = findForm(forms, tenant, p, n, load<u32>(tags + (<usize>i << 2)));
    }
    if (form == 0) {
      store<u32>(unresolved + (<usize>left << 2), index);
      left++;
      continue;
    }
    const record = formAt(formsArena, form);
    const sid = load<u32>(record, FORM_SID);
    store<u32>(row, sid, 12);
    store<u8>(seen + sid, epoch);
    if (teach) {
      if (before != 0) store<u32>(before, form, FORM_NEXT);
      before = record;
    }
  }
  return left;
}
