// libs/kernel/assembly/lib/forms.ts: which series a form belongs to. A form is one tenant's label bytes as a client encodes them; several
// forms (unsorted labels, other encodings) may belong to one series.
// Open addressing, linear probing, load ≤ 5/8. A slot's index is the top bits of its tag, so that a table grows without the bytes.
import { equalBytes } from "./bytes";
import { FULL_ARENA, FULL_TABLE } from "./codes";
import { labelTag } from "./hash";
import {
  FORMS_ARENA, FORMS_BITS, FORMS_CAP, FORMS_COUNT, FORMS_EPOCH, FORMS_KEYS, FORMS_LAST, FORMS_NEWEST, FORMS_SEEN, FORMS_TABLE,
  FORMS_USED, FORM_BYTES, FORM_LENGTH, FORM_NEXT, FORM_SID, FORM_TENANT,
} from "./layout";

/** The address of a form's record. */
// @ts-ignore: decorator
@inline
export function formAt(arena: usize, form: u32): usize {
  return arena + (<usize>form << 3);
}

/** Whether a record is this tenant's and has these bytes. */
// @ts-ignore: decorator
@inline
export function isForm(record: usize, tenant: u32, p: usize, n: u32): bool {
  return (
    load<u32>(record, FORM_LENGTH) == n && load<u32>(record, FORM_TENANT) == tenant && equalBytes(record + FORM_BYTES, p, n)
  );
}

/** The form of these label bytes, or 0. `tag` is their labelTag. */
export function findForm(forms: usize, tenant: u32, p: usize, n: u32, tag: u32): u32 {
  const arena = <usize>load<u32>(forms, FORMS_ARENA);
  const table = <usize>load<u32>(forms, FORMS_TABLE);
  const bits = load<u32>(forms, FORMS_BITS);
  const mask = (<u32>1 << bits) - 1;
  let slot = tag >> (32 - bits);
  let form = load<u32>(table + (<usize>slot << 3));
  while (form != 0) {
    if (load<u32>(table + (<usize>slot << 3), 4) == tag && isForm(formAt(arena, form), tenant, p, n)) break;
    slot = (slot + 1) & mask;
    form = load<u32>(table + (<usize>slot << 3));
  }
  return form;
}

function place(table: usize, bits: u32, form: u32, tag: u32): void {
  const mask = (<u32>1 << bits) - 1;
  let slot = tag >> (32 - bits);
  while (load<u32>(table + (<usize>slot << 3)) != 0) slot = (slot + 1) & mask;
  store<u32>(table + (<usize>slot << 3), form);
  store<u32>(table + (<usize>slot << 3), tag, 4);
}

/** The sid of these label bytes, or 0. */
export function lookUp(forms: usize, tenant: u32, p: usize, n: u32): u32 {
  const form = findForm(forms, tenant, p, n, labelTag(<usize>load<u32>(forms, FORMS_KEYS), p, n));
  return form == 0 ? 0 : load<u32>(formAt(<usize>load<u32>(forms, FORMS_ARENA), form), FORM_SID);
}

/**
 * Binds these label bytes to a sid; bytes already bound get the new sid. Returns the form, or FULL_ARENA or FULL_TABLE.
 * A form remembered right after another is expected to follow it in requests too.
 */
export function remember(forms: usize, tenant: u32, p: usize, n: u32, sid: u32): i32 {
  const arena = <usize>load<u32>(forms, FORMS_ARENA);
  const tag = labelTag(<usize>load<u32>(forms, FORMS_KEYS), p, n);
  store<u8>(<usize>load<u32>(forms, FORMS_SEEN) + sid, <u8>load<u32>(forms, FORMS_EPOCH));
  const known = findForm(forms, tenant, p, n, tag);
  if (known != 0) {
    store<u32>(formAt(arena, known), sid, FORM_SID);
    return <i32>known;
  }
  const bits = load<u32>(forms, FORMS_BITS);
  const count = load<u32>(forms, FORMS_COUNT);
  if ((<u64>count + 1) * 8 > <u64>5 << bits) return FULL_TABLE;
  const used = load<u32>(forms, FORMS_USED);
  const size = <u64>FORM_BYTES + ((<u64>n + 7) & ~7);
  if (<u64>used + size > <u64>load<u32>(forms, FORMS_CAP)) return FULL_ARENA;
  const form = used >> 3;
  const record = arena + used;
  store<u32>(record, 0, FORM_NEXT);
  store<u32>(record, sid, FORM_SID);
  store<u32>(record, tenant, FORM_TENANT);
  store<u32>(record, n, FORM_LENGTH);
  memory.copy(record + FORM_BYTES, p, n);
  place(<usize>load<u32>(forms, FORMS_TABLE), bits, form, tag);
  const newest = load<u32>(forms, FORMS_NEWEST);
  if (newest != 0 && load<u32>(formAt(arena, newest), FORM_NEXT) == 0) store<u32>(formAt(arena, newest), form, FORM_NEXT);
  store<u32>(forms, form, FORMS_NEWEST);
  store<u32>(forms, used + <u32>size, FORMS_USED);
  store<u32>(forms, count + 1, FORMS_COUNT);
  return <i32>form;
}

/** Moves all slots to a table of 2^bits slots at `table`, which is cleared first and must not overlap the present one. */
export function growTable(forms: usize, table: usize, bits: u32): void {
  memory.fill(table, 0, <usize>8 << bits);
  const old = <usize>load<u32>(forms, FORMS_TABLE);
  const end = old + (<usize>8 << load<u32>(forms, FORMS_BITS));
  for (let slot = old; slot < end; slot += 8) {
    const form = load<u32>(slot);
    if (form != 0) place(table, bits, form, load<u32>(slot, 4));
  }
  store<u32>(forms, <u32>table, FORMS_TABLE);
  store<u32>(forms, bits, FORMS_BITS);
}

/**
 * Forgets every form whose sid was last seen more than `ageMax` epochs ago (epochs count modulo 256) and closes the gaps. The table stays
 * where it is. Returns how many forms are left.
 */
export function sweepForms(forms: usize, ageMax: u32): u32 {
  const arena = <usize>load<u32>(forms, FORMS_ARENA);
  const keys = <usize>load<u32>(forms, FORMS_KEYS);
  const seen = <usize>load<u32>(forms, FORMS_SEEN);
  const epoch = load<u32>(forms, FORMS_EPOCH);
  const table = <usize>load<u32>(forms, FORMS_TABLE);
  const bits = load<u32>(forms, FORMS_BITS);
  memory.fill(table, 0, <usize>8 << bits);
  const end = arena + load<u32>(forms, FORMS_USED);
  let to = arena + 8;
  let previous: usize = 0;
  let count: u32 = 0;
  for (let from = to; from < end; ) {
    const n = load<u32>(from, FORM_LENGTH);
    const size = FORM_BYTES + ((<usize>n + 7) & ~7);
    if (((epoch - load<u8>(seen + load<u32>(from, FORM_SID))) & 255) <= ageMax) {
      if (to != from) memory.copy(to, from, size);
      const form = <u32>((to - arena) >> 3);
      store<u32>(to, 0, FORM_NEXT);
      if (previous != 0) store<u32>(previous, form, FORM_NEXT);
      place(table, bits, form, labelTag(keys, to + FORM_BYTES, n));
      previous = to;
      to += size;
      count++;
    }
    from += size;
  }
  store<u32>(forms, <u32>(to - arena), FORMS_USED);
  store<u32>(forms, count, FORMS_COUNT);
  store<u32>(forms, 0, FORMS_LAST);
  store<u32>(forms, previous == 0 ? 0 : <u32>((previous - arena) >> 3), FORMS_NEWEST);
  return count;
}
