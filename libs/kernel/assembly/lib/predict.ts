// libs/kernel/assembly/lib/predict.ts: the successor predictor. After a series comes, most often, the series that came after it last time:
// comparing with that form's bytes, which lie in order in memory, replaces hashing and the table.
// A miss looks the series up at once and corrects the link. Misses cost credit, hits earn it; without credit (eight misses in a row) the
// rest of the request is left to the batch passes of identify.ts, which bear random order better.
import { findForm, formAt } from "./forms";
import { labelTag } from "./hash";
import { FORMS_ARENA, FORMS_EPOCH, FORMS_KEYS, FORMS_LAST, FORMS_SEEN, FORM_NEXT, FORM_SID } from "./layout";

const CREDIT_MAX: i32 = 16;
const CREDIT_PER_MISS: i32 = 2;

export let arena: usize = 0;
export let keys: usize = 0;
export let seen: usize = 0;
export let epoch: u32 = 0;
/** The form of the series before in this request, and the form expected next; 0 when there is none. */
export let last: u32 = 0;
export let expected: u32 = 0;
let credit: i32 = 0;

/**
 * A request is expected to go on where the one before it ended. When it doesn't, that teaches nothing: clients send over several
 * connections at once, so `last` begins empty and no link leads from one request to the next.
 */
export function beginPrediction(forms: usize): void {
  arena = load<u32>(forms, FORMS_ARENA);
  keys = load<u32>(forms, FORMS_KEYS);
  seen = load<u32>(forms, FORMS_SEEN);
  epoch = load<u32>(forms, FORMS_EPOCH);
  const before = load<u32>(forms, FORMS_LAST);
  last = 0;
  expected = before == 0 ? 0 : load<u32>(formAt(arena, before), FORM_NEXT);
  credit = CREDIT_MAX;
}

/** Whether prediction is given up for the rest of the request. */
// @ts-ignore: decorator
@inline
export function isLost(): bool {
  return credit <= 0;
}

export function endPrediction(forms: usize): void {
  if (last != 0) store<u32>(forms, last, FORMS_LAST);
}

/** Moves on after a hit: `form` was expected. Returns its sid. */
// @ts-ignore: decorator
@inline
export function follow(form: u32): u32 {
  const record = formAt(arena, form);
  const sid = load<u32>(record, FORM_SID);
  store<u8>(seen + sid, <u8>epoch);
  last = form;
  expected = load<u32>(record, FORM_NEXT);
  if (credit < CREDIT_MAX) credit++;
  return sid;
}

/** After a miss: finds the series, corrects the link, pays credit. Returns the sid, or 0 when unknown or out of credit. */
export function recover(forms: usize, tenant: u32, p: usize, n: u32): u32 {
  if (credit <= 0) return 0;
  credit -= CREDIT_PER_MISS;
  if (credit <= 0) expected = 0;
  const form = findForm(forms, tenant, p, n, labelTag(keys, p, n));
  if (form == 0) return 0;
  const record = formAt(arena, form);
  if (last != 0) store<u32>(formAt(arena, last), form, FORM_NEXT);
  last = form;
  if (credit > 0) expected = load<u32>(record, FORM_NEXT);
  const sid = load<u32>(record, FORM_SID);
  store<u8>(seen + sid, <u8>epoch);
  return sid;
}
