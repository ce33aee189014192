/**
 * Finds letters that look like Latin ones: `оrder-1` with a Cyrillic о is not the id `order-1`, but readers cannot see the
 * difference.
 *
 * A letter of another alphabet counts as a look-alike only where it can deceive: in a word that also has Latin letters, or
 * in a text whose letters of that alphabet all look Latin. Sentences in Russian or Greek stay readable.
 *
 * The letters come from confusables.txt of Unicode Technical Standard 39, from the lines whose target is one ASCII
 * character. The list is incomplete: rarely used scripts, and marks that change a letter only slightly, are not covered.
 *
 * @module
 */

/** Letters of other alphabets that usually look like a Latin letter. Accents are ignored: `ё` counts as `е`. */
const ALPHABETS = [
  { letter: /\p{Script=Cyrillic}/gu, alike: new Set('АВЕЅІЈКМНОРСТУХҮӀԌԚԜЗаеѕіјорсухһӏԁԛԝүѵѡ') },
  { letter: /\p{Script=Greek}/gu, alike: new Set('ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϳϜͿανορυγικϲ') },
  { letter: /\p{Script=Armenian}/gu, alike: new Set('ՍՕօսոցհզ') },
  { letter: /\p{Script=Cherokee}/gu, alike: new Set('ᎠᎡᎢᎪᎫᎬᎳᎷᎻᏀᏂᏃᏎᏔᏙᏚᏞᏟᏢᏦᏧ') },
];
const WORD = /[\p{L}\p{M}\p{N}_]+/gu;
const LATIN = /\p{Script=Latin}/u;

/**
 * Characters that look like one or two ASCII characters in any context: mathematical alphabets, letter-like symbols, Roman
 * numerals, small capitals, ligatures, Lisu letters; hyphens, slashes, dots and colons that no keyboard types.
 */
const DISGUISED =
  /[\u{1d400}-\u{1d7ff}\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u2128\u212c-\u2131\u2133\u2134\u2145-\u2149\u2160-\u217f\u1d00-\u1d22\ua730\ua731\u0251\u0261\ufb00-\ufb06\ua4d0-\ua4ff\u2010\u2011\u2043\u02d7\ufe63\uff0d\u2044\u2215\u29f8\u2024\ua789\u2236\u02d0\u01c0\u2223]/u;

const CJK = '\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}\\u3000-\\u303f';
const FULL_WIDTH = '\\uff10-\\uff19\\uff21-\\uff3a\\uff41-\\uff5a\\u3000';
/** Full-width characters inside Chinese, Japanese or Korean text. */
const IN_CJK = new RegExp(`(?<=[${CJK}])[${FULL_WIDTH}]+|[${FULL_WIDTH}]+(?=[${CJK}])`, 'gu');
const ALL_FULL_WIDTH = new RegExp(`[${FULL_WIDTH}]`, 'gu');

/** Spaces that look like U+0020. */
const SPACE = /[\u00a0\u1680\u2000-\u200a\u202f\u205f]/gu;
/** Spaces that French typography and formatted numbers require: `Erreur :`, `1 234 €`, `5:30 PM`. */
const TYPOGRAPHIC =
  /(?<=[«\d])[\u00a0\u202f](?=[\d%\p{Sc}]|[AP]M)|(?<=«)[\u00a0\u202f]|[\u00a0\u202f](?=[:;!?»%\p{Sc}])/gu;

const positionsOf = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].flatMap(({ 0: run, index }) => Array.from(run, (_, at) => index + at));

/** The positions of look-alikes in a text, in UTF-16 code units. */
export function findLookAlikes(text: string): Set<number> {
  const found = new Set<number>();
  const legitimate = new Set([...positionsOf(text, IN_CJK), ...positionsOf(text, TYPOGRAPHIC)]);
  for (const at of [...positionsOf(text, ALL_FULL_WIDTH), ...positionsOf(text, SPACE)])
    if (!legitimate.has(at)) found.add(at);
  let index = 0;
  for (const one of text) {
    // Unicode defines some characters as equal to another one: the Kelvin sign is a K.
    if (DISGUISED.test(one) || equalsAnotherCharacter(one)) found.add(index);
    index += one.length;
  }
  for (const { letter, alike } of ALPHABETS) {
    const isAlike = (one: string) => alike.has(one.normalize('NFD').charAt(0));
    const letters = [...text.matchAll(letter)];
    if (letters.length === 0) continue;
    const allAlike = letters.every(([one]) => isAlike(one));
    for (const { 0: word, index: start } of text.matchAll(WORD)) {
      if (!allAlike && !LATIN.test(word)) continue;
      for (const { 0: one, index: at } of word.matchAll(letter)) if (isAlike(one)) found.add(start + at);
    }
  }
  return found;
}

function equalsAnotherCharacter(one: string): boolean {
  const composed = one.normalize('NFC');
  return composed !== one && Array.from(composed).length === 1;
}
