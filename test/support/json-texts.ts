/**
 * Random JSON texts over the full range of JSON: also those that a sender in another language may write but JavaScript would
 * not.
 *
 * @module
 */
import { fc } from './random.ts';

const digits = (maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789'.split('')), maxLength });
const exponents = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -30, max: 30 }) },
  { weight: 2, arbitrary: fc.integer({ min: -420, max: 420 }) },
  { weight: 1, arbitrary: fc.integer({ min: -140_000, max: 140_000 }) },
);

/** Numbers with any sign, digits and exponent. */
const decimals = fc
  .record({
    sign: fc.constantFrom('', '-'),
    whole: digits(24).map((text) => text.replace(/^0+/, '') || '0'),
    fraction: fc.option(digits(30).filter((text) => text !== '')),
    exponent: fc.option(exponents, { freq: 1 }),
    e: fc.constantFrom('e', 'E'),
    plus: fc.boolean(),
  })
  .map(({ sign, whole, fraction, exponent, e, plus }) => {
    const power = exponent === null ? '' : `${e}${plus && exponent >= 0 ? '+' : ''}${exponent}`;
    return `${sign}${whole}${fraction === null ? '' : `.${fraction}`}${power}`;
  });

/** All finite doubles. */
export const doubles = fc
  .bigInt({ min: 0n, max: 2n ** 64n - 1n })
  .map((bits) => {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, bits);
    return view.getFloat64(0);
  })
  .filter(Number.isFinite);
/** Doubles with the digits that JavaScript prints, and with others. */
const doubleTexts = fc.oneof(
  doubles.map(String),
  fc.double({ noNaN: true, min: -(2 ** 53), max: 2 ** 53 }).map(String),
  fc
    .tuple(doubles, fc.integer({ min: 1, max: 25 }))
    .map(([value, precision]) => value.toPrecision(precision)),
);
const edges = fc.constantFrom(
  '1e400',
  '-1e400',
  '1e-400',
  '5e-324',
  '3e-324',
  '2e-324',
  '4.9e-324',
  '2.5e-324',
  '-0',
  '-0.0',
  '0e9',
  '1.0',
  '1.50',

  '1e2',
  '1E+2',
  '100',
  '12345678901234567.5',
  '0.12345678901234567891',
  '0.30000000000000004',
  '1e23',
  '1e15',
  '9007199254740991',
  '9007199254740992',
  '9007199254740993',
  '-9007199254740992',
  '9007199254740991.0',

  '1.7976931348623157e308',
  '2.2250738585072014e-308',
  '4503599627370497.5',
  '4503599627370496.25',
  '1e-7',
  '1e131071',
  '1e131072',
  '1e-16383',
  '1e-16384',
  `0.${'0'.repeat(16_382)}1`,
  `1.${'0'.repeat(16_383)}`,
  `1.${'0'.repeat(16_384)}`,
);
export const numberTexts = fc.oneof(decimals, doubleTexts, edges);

/** All of Unicode, lone surrogates, and special cases: NUL, noncharacters, separators, a BOM, and é in both its forms. */
const strings = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ unit: fc.nat({ max: 0xffff }).map((unit) => String.fromCharCode(unit)), maxLength: 3 }),
  fc.constantFrom(
    '\u0000',
    '\ud83d',
    '\ude00',
    '\ufffe\uffff',
    '\u2028\u2029',
    '\ufeff',
    '\u00e9',
    'e\u0301',
    '\u007f\u0085',
  ),
  fc.constantFrom(
    '',
    '__proto__',
    'constructor',
    '😀'.repeat(50),
    '"\\/\b\f\n\r\t\u001f',
    '1234567890123456789',
  ),
);
const stringTexts = fc.oneof(
  strings.map((value) => JSON.stringify(value)),
  // The same strings with every UTF-16 unit escaped, as some languages write them.
  strings.map(
    (value) => `"${Array.from({ length: value.length }, (_, at) => escaped(value.charCodeAt(at))).join('')}"`,
  ),
);

const escaped = (unit: number) => `\\u${unit.toString(16).padStart(4, '0')}`;

/**
 * Any JSON text, nested and with any keys, but without repeated keys in one object: Postgres also checks a value that a
 * later one replaces, whereas JavaScript drops it.
 */
export const jsonTexts = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    numberTexts,
    fc.constantFrom('true', 'false', 'null', '{}', '[]', '  [ 1 , 2 ]'),
    stringTexts,
    fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(',')}]`),
    fc
      .uniqueArray(fc.tuple(stringTexts, tie('value')), {
        maxLength: 4,
        selector: ([key]) => JSON.parse(key) as string,
      })
      .map((members) => `{${members.map(([key, value]) => `${key}: ${value}`).join(',')}}`),
  ),
})).value;
