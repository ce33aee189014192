import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeVisible } from '../../../src/core/text.ts';

describe('look-alikes', () => {
  for (const [what, text, shown] of [
    ['a Cyrillic o in a Latin word', '\u043erder-1', String.raw`\u043erder-1`],
    ['a Greek o in a Latin word', '\u03bfrder-1', String.raw`\u03bfrder-1`],
    ['a Cyrillic word whose letters all look Latin', 'order-\u041e\u041a', String.raw`order-\u041e\u041a`],
    ['full-width letters', '\uff4frder', String.raw`\uff4frder`],
    ['mathematical letters', '\u{1d428}rder', String.raw`\ud835\udc28rder`],
    ['a character that only looks like a hyphen', 'order\u20101', String.raw`order\u20101`],
    ['a no-break space', 'order\u00a01', String.raw`order\u00a01`],
    ['a Kelvin sign', '\u212aey', String.raw`\u212aey`],
    ['a Cyrillic letter with an accent', 'No\u0451l', String.raw`No\u0451l`],
    ['a small capital', '\u1d0frder', String.raw`\u1d0frder`],
    ['a ligature', '\ufb01le', String.raw`\ufb01le`],
    ['a full-width letter between Latin letters', 'o\uff52der', String.raw`o\uff52der`],
    ['a private-use character', 'a\ue000', String.raw`a\ue000`],
    ['a Roman numeral', 'order-\u2160', String.raw`order-\u2160`],
  ] as const) {
    it(`escapes ${what}`, () => assert.equal(makeVisible(text), shown));
  }

  for (const text of [
    'Ошибка: счёт 17 не найден в order-17',
    'Σφάλμα: ο λογαριασμός δεν υπάρχει',
    '口座が見つかりません（注文 17）',
    'le café est fermé – réessayez…',
    'Δt = 3 µs, π r²',
    'שגיאה: לא נמצא',
    'Ștefan Łukasz Ðorđe ß',
    'Kullanıcı bulunamadı',
    'Erreur\u00a0: solde 1\u202f234,56\u00a0€ à 5:30\u202fPM',
    '三菱ＵＦＪ銀行\u3000口座１７',
    'می\u200cخواهم',
    'क्\u200dष',
    '№ 7 ™ ½',
    '👩‍💻 ☎️ 1️⃣',
  ]) {
    it(`does not escape legitimate text: ${text}`, () => assert.equal(makeVisible(text), text));
  }
});
