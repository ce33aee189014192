/**
 * Letters that look like Latin ones: `оrder-1` with a Cyrillic о is not the id `order-1`, and a reader cannot tell.
 *
 * A letter of another alphabet counts as a look-alike where it can deceive: in a word that has Latin letters too, or in a text
 * whose letters of that alphabet all look Latin. Sentences in Russian or Greek stay readable.
 *
 * Source of the letters: confusables.txt of Unicode Technical Standard 39, the lines whose target is one ASCII character. It is
 * not all of them: scripts that are hardly in use, and marks that change a letter only a little, are not covered.
 *
 * @module
 */

/** Letters of other alphabets whose usual shape is that of a Latin letter. Accents are ignored: `ё` counts as `е`. */
const ALPHABETS = [
  { letter: /\p{Script=Cyrillic}/gu, alike: new Set('АВЕЅІЈКМНОРСТУХҮӀԌԚԜЗаеѕіјорсухһӏԁԛԝүѵѡ') },
  { letter: /\p{Script=Greek}/gu, alike: new Set('ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϳϜͿανορυγικϲ') },
  { letter: /\p{Script=Armenian}/gu, alike: new Set('ՍՕօսոցհզ') },
  { letter: /\p{Script=Cherokee}/gu, alike: new Set('ᎠᎡᎢᎪᎫᎬᎳᎷᎻᏀᏂᏃᏎᏔᏙᏚᏞᏟᏢᏦᏧ') },
];
const WORD = /[\p{L}\p{M}\p{N}_]+/gu;
const LATIN = /\p{Script=Latin}/u;

/**
 * Characters that look like an ASCII character, or like two of them, anywhere: mathematical alphabets, letter-like symbols, Roman
 * numerals, small capitals, ligatures, Lisu letters; hyphens, slashes, dots and colons that no keyboard types.
 */
const DISGUISED =
  /[\u{1d400}-\u{1d7ff}\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u2128\u212c-\u2131\u2133\u2134\u2145-\u2149\u2160-\u217f\u1d00-\u1d22\ua730\ua731\u0251\u0261\ufb00-\ufb06\ua4d0-\ua4ff\u2010\u2011\u2043\u02d7\ufe63\uff0d\u2044\u2215\u29f8\u2024\ua789\u2236\u02d0\u01c0\u2223]/u;

const CJK = '\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}\\u3000-\\u303f';
const FULL_WIDTH = '\\uff10-\\uff19\\uff21-\\uff3a\\uff41-\\uff5a\\u3000';
/** Part of Chinese, Japanese and Korean text. */
const IN_CJK = new RegExp(`(?<=[${CJK}])[${FULL_WIDTH}]+|[${FULL_WIDTH}]+(?=[${CJK}])`, 'gu');
const ALL_FULL_WIDTH = new RegExp(`[${FULL_WIDTH}]`, 'gu');

/** Spaces that look like U+0020. */
const SPACE = /[\u00a0\u1680\u2000-\u200a\u202f\u205f]/gu;
/** Spaces that belong to the writing of French and of numbers: `Erreur :`, `1 234 €`, `5:30 PM`. */
const TYPOGRAPHIC =
  /(?<=[«\d])[\u00a0\u202f](?=[\d%\p{Sc}]|[AP]M)|(?<=«)[\u00a0\u202f]|[\u00a0\u202f](?=[:;!?»%\p{Sc}])/gu;

const positionsOf = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].flatMap(({ 0: run, index }) => Array.from(run, (_, at) => index + at));

/** The positions of look-alikes in a text, in UTF-16 code units. */
export function findLookAlikes(text: string): Set<number> {
  const found = new Set<number>();
  const honest = new Set([...positionsOf(text, IN_CJK), ...positionsOf(text, TYPOGRAPHIC)]);
  for (const at of [...positionsOf(text, ALL_FULL_WIDTH), ...positionsOf(text, SPACE)])
    if (!honest.has(at)) found.add(at);
  let index = 0;
  for (const one of text) {
    // Some characters are another one by definition, such as the Kelvin sign, which is a K.
    if (DISGUISED.test(one) || isAnother(one)) found.add(index);
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

function isAnother(one: string): boolean {
  const composed = one.normalize('NFC');
  return composed !== one && Array.from(composed).length === 1;
}
