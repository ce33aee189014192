/**
 * Letters that look like Latin ones: `оrder-1` with a Cyrillic о is not the id `order-1`, and a reader cannot tell.
 *
 * A letter counts as a look-alike where it disguises itself: in a word that has Latin letters too, or in a text whose letters of
 * that alphabet all look Latin. Sentences in Russian or Greek stay readable.
 *
 * Source of the letters: confusables.txt of Unicode Technical Standard 39, the lines whose target is one ASCII character.
 *
 * @module
 */

/** Letters of other alphabets whose usual shape is that of a Latin letter. */
const ALPHABETS = [
  { letter: /\p{Script=Cyrillic}/gu, alike: new Set('АВЕЅІЈКМНОРСТУХҮӀԌԚԜаеѕіјорсухһӏԁԛԝүѵѡ') },
  { letter: /\p{Script=Greek}/gu, alike: new Set('ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϳανορυγικϲ') },
  { letter: /\p{Script=Armenian}/gu, alike: new Set('ՍՕօսոցհզ') },
  { letter: /\p{Script=Cherokee}/gu, alike: new Set('ᎠᎡᎢᎪᎫᎬᎳᎷᎻᏀᏂᏃᏎᏔᏙᏚᏞᏟᏢᏦᏧ') },
];
const WORD = /[\p{L}\p{M}\p{N}_]+/gu;
const LATIN = /\p{Script=Latin}/u;

/**
 * Characters that look like an ASCII character anywhere: full-width letters and digits, mathematical alphabets, Roman numerals;
 * hyphens, the minus sign, slashes, dots and colons that no keyboard types; spaces other than U+0020.
 */
const DISGUISED =
  /[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\u{1d400}-\u{1d7ff}\u2160-\u217f\u2010\u2011\u2212\u02d7\ufe63\uff0d\u2044\u2215\u2024\ua789\u2236\u01c0\u0131\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/gu;

/** The positions of look-alikes in a text, in UTF-16 code units. */
export function findLookAlikes(text: string): Set<number> {
  const found = new Set([...text.matchAll(DISGUISED)].map(({ index }) => index));
  for (const { letter, alike } of ALPHABETS) {
    const letters = [...text.matchAll(letter)];
    if (letters.length === 0) continue;
    const allAlike = letters.every(([one]) => alike.has(one));
    for (const { 0: word, index } of text.matchAll(WORD)) {
      if (!allAlike && !LATIN.test(word)) continue;
      for (const { 0: one, index: at } of word.matchAll(letter)) if (alike.has(one)) found.add(index + at);
    }
  }
  return found;
}
